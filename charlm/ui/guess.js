// Shannon's game, of a passage that the server has sent once: see serving/passages.py. What the
// visitor guesses stays in this browser tab. Loaded when the tab is opened first: see guess.py.
(() => {
  const find = (id) => document.getElementById(id);
  const part = (name) => document.querySelector(`#guess-game .${name}`);
  const isNarrow = () => matchMedia("(max-width: 768px)").matches;
  const SAVED = "charlm-guess";
  const LEAST = 10; // letters before the game can be stopped
  const ROWS = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

  let passage = null;
  let game = null; // { code, ranks: of the letters so far, tried: for the next one, ended }
  let wanted = null; // the request for a passage
  let cursor = null; // the place of the next letter, which has the focus while one types

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const nameOf = (symbol) => (symbol === " " ? "space" : symbol);
  const isPlaying = () => find("guess-game")?.dataset.state === "playing";

  function ordinal(n) {
    const isTeen = n % 100 > 10 && n % 100 < 14;
    return `${n}${(!isTeen && ["th", "st", "nd", "rd"][n % 10]) || "th"}`;
  }

  function request(parts) {
    wanted = parts;
    find("guess-game").dataset.state = "waiting";
    find("guess-request").click();
  }

  const asked = () => new URL(location).searchParams.get("passage") ?? "";

  function start(answer) {
    passage = answer ? JSON.parse(answer) : null;
    find("guess-game").dataset.state = passage ? "playing" : "missing";
    if (!passage) return;
    const saved = load();
    game = { code: passage.code, ranks: [], tried: [], ended: false };
    const isSame = saved?.code === passage.code && saved.ranks.length <= passage.letters.length;
    if (isSame) game = saved;
    const link = new URL(location.pathname, location);
    link.search = new URLSearchParams({ tab: "guess", passage: passage.code });
    part("after").querySelector("a").href = link;
    window.charlm.showInAddress({ passage: passage.code });
    part("origin").textContent = passage.origin;
    drawText();
    drawKeys();
    if (game.ended) return end();
    say(`${passage.letters.length} letters to guess. Type the first one, or press its key.`);
    update();
    // unless the focus is where the keyboard has moved it
    const focused = document.activeElement;
    const isFree = focused === document.body || !focused.matches(":focus-visible");
    if (isFree) cursor.focus({ preventScroll: true });
    if (isNarrow()) find("guess-game").scrollIntoView();
  }

  function load() {
    try {
      return JSON.parse(sessionStorage.getItem(SAVED));
    } catch {
      return null;
    }
  }

  function save() {
    try {
      sessionStorage.setItem(SAVED, JSON.stringify(game));
    } catch {
      // storage is switched off or full: the game is not restored
    }
  }

  // The text: what has been read and guessed, up to the cursor.
  function drawText() {
    const label = "The next letter: type your guess";
    const attributes = { class: "cursor", role: "application", tabindex: 0, "aria-label": label };
    cursor = element("span", attributes, "?");
    part("passage").innerHTML = passage.html;
    part("passage").querySelector("p:last-child").append(cursor);
    put(passage.letters[0][0]);
    game.ranks.forEach((_, i) => reveal(i));
  }

  function put(text, isLetter) {
    const hadFocus = document.activeElement === cursor;
    const lines = text.split("\n");
    lines.forEach((line, i) => {
      if (i) {
        const next = element("p", { class: "gap" });
        cursor.parentElement.after(next);
        next.append(cursor);
      }
      if (!line) return;
      const isWhole = i > 0 && i < lines.length - 1; // of the shown lines: who speaks
      cursor.parentElement.className = isWhole ? "speaker" : "line";
      cursor.before(isLetter ? element("span", { class: "letter" }, line) : line);
    });
    if (cursor.parentElement.className === "gap") cursor.parentElement.className = "line";
    if (hadFocus) cursor.focus({ preventScroll: true });
  }

  function reveal(i) {
    put(passage.letters[i][1], true);
    put(passage.letters[i + 1]?.[0] ?? "");
  }

  function drawKeys() {
    const letters = passage.symbols.filter((symbol) => symbol !== " ");
    let rows = ROWS.map((row) => [...row]);
    if (letters.join("") !== [...ROWS.join("")].sort().join("")) {
      rows = Array.from({ length: Math.ceil(letters.length / 10) }, (_, i) =>
        letters.slice(10 * i, 10 * i + 10),
      );
    }
    if (passage.symbols.includes(" ")) rows.push([" "]);
    const key = (symbol) =>
      element("button", { type: "button", tabindex: -1, "data-symbol": symbol }, nameOf(symbol));
    part("keys").replaceChildren(...rows.map((row) => element("div", {}, ...row.map(key))));
  }

  function update() {
    for (const key of part("keys").querySelectorAll("button")) {
      key.disabled = game.tried.includes(key.dataset.symbol);
    }
    const count = passage.letters.length;
    part("progress").textContent = `Letter ${game.ranks.length + 1} of ${count}`;
    part("actions").querySelector('[data-action="stop"]').disabled = game.ranks.length < LEAST;
    const frame = part("passage");
    const [box, edges] = [cursor.getBoundingClientRect(), frame.getBoundingClientRect()];
    if (box.bottom > edges.bottom - 8) frame.scrollTop += box.bottom - edges.bottom + box.height;
  }

  function say(sentence, announcement = sentence) {
    const children = Array.isArray(sentence) ? sentence : [sentence];
    const said = element("p", { "data-announcement": announcement }, ...children);
    find("guess-feedback").replaceChildren(said);
  }

  function guess(symbol) {
    if (!isPlaying() || !passage.symbols.includes(symbol) || game.tried.includes(symbol)) return;
    if (symbol === passage.letters[game.ranks.length][2]) return next(game.tried.length + 1);
    game.tried.push(symbol);
    const count = game.tried.length;
    const guesses = `${count} guess${count > 1 ? "es" : ""} so far`;
    say(`Not ${nameOf(symbol)}. ${guesses}.`, `not ${nameOf(symbol)}, ${guesses}`);
    save();
    update();
  }

  // The letter is known; a visitor who gave up is counted as if it had been the last guess.
  function next(rank, gaveUp = false) {
    const i = game.ranks.length;
    game.ranks.push(rank);
    game.tried = [];
    reveal(i);
    const own = gaveUp ? `shown, counts as ${ordinal(rank)}` : `${ordinal(rank)} guess`;
    const ranks = passage.models.map(({ name, ranks }) => `${name}: ${ordinal(ranks[i])}`);
    const letter = nameOf(passage.letters[i][1]);
    const all = [`you: ${own}`, ...ranks];
    const word = cursor.parentElement.textContent.slice(0, -1).split(" ").at(-1);
    const announcement = `${letter}. ${all.join(", ")}. ${word ? `So far: ${word}` : "A new word"}`;
    say([element("b", {}, letter), ` ${all.join(" · ")}`], announcement);
    if (game.ranks.length === passage.letters.length) game.ended = true;
    save();
    if (game.ended) end();
    else update();
  }

  // As entropy_bounds in inspection/shannon.py, where the formulas are explained.
  function entropyBounds(ranks) {
    const pools = [];
    for (let i = 1; i <= Math.max(...ranks); i++) {
      pools.push([ranks.filter((rank) => rank === i).length / ranks.length, 1]);
      while (pools.length > 1 && pools.at(-2)[0] < pools.at(-1)[0]) {
        const [[before, n], [after, m]] = pools.splice(-2);
        pools.push([(n * before + m * after) / (n + m), n + m]);
      }
    }
    const q = pools.flatMap(([mean, length]) => Array(length).fill(mean));
    let [lower, upper] = [0, 0];
    q.forEach((share, i) => {
      upper -= share * Math.log2(share);
      lower += (i + 1) * (share - (q[i + 1] ?? 0)) * Math.log2(i + 1);
    });
    return [lower, Math.max(lower, upper)];
  }

  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
  const range = (pair) => pair.map((number) => number.toFixed(1)).join(" to ");

  function end() {
    const hadFocus = find("guess-game").contains(document.activeElement);
    find("guess-game").dataset.state = "ended";
    const n = game.ranks.length;
    const models = passage.models.map(({ name, ranks, bits, bounds }) => {
      return { name, ranks, bits: sum(bits.slice(0, n)) / n, bounds: bounds[n - 1] };
    });
    const own = entropyBounds(game.ranks);
    const [first] = models;
    const isBetter = (rank, i) => rank < first.ranks[i];
    [...part("passage").querySelectorAll(".letter")].forEach((letter, i) => {
      const rank = game.ranks[i];
      const tag = isBetter(rank, i) ? "mark" : "span";
      const count = rank > 1 ? [element("sub", { "aria-hidden": true }, rank)] : [];
      letter.replaceWith(element(tag, { class: "letter" }, letter.textContent, ...count));
    });
    const score = (name, figure, ...more) =>
      element("li", {}, element("b", {}, name), element("strong", {}, figure), ...more);
    const unit = () => element("span", {}, "bits per letter");
    const scores = models.map(({ name, bits, bounds }) => {
      const bounded = `${range(bounds)} by its guesses`;
      return score(name, bits.toFixed(1), unit(), element("small", {}, bounded));
    });
    const unsure = (bits) => (2 ** bits).toFixed(1);
    const others = models.map(({ name, bits }) => `${name} as between ${unsure(bits)}`).join(", ");
    const better = game.ranks.filter(isBetter).length;
    const worse = game.ranks.filter((rank, i) => rank > first.ranks[i]).length;
    const title = element("h3", { tabindex: -1 }, `You and the models, after ${n} letters`);
    const [least, most] = own.map(unsure);
    const meaning =
      `You were about as unsure each time as between ${least} letters at least and ${most} at` +
      ` most; ${others}. Guessing blindly is ${passage.symbols.length}.`;
    part("result").replaceChildren(
      title,
      element("ul", {}, score("You", range(own), unit()), ...scores),
      element("p", {}, meaning),
      element(
        "p",
        {},
        element("mark", {}, "Marked"),
        `: where you needed fewer guesses than ${first.name}, ${better} of ${n} letters.` +
          ` It needed fewer at ${worse}. The small figures are your guesses, where it took more` +
          " than one.",
      ),
    );
    part("passage").scrollTop = 0;
    say("", `The game is over. ${meaning}`);
    if (hadFocus) title.focus({ preventScroll: true });
    if (isNarrow()) find("guess-game").scrollIntoView();
  }

  function act(action) {
    if (action === "another") request({ action, code: passage?.code });
    if (!isPlaying()) return;
    if (action === "show") next(passage.symbols.length, true);
    if (action === "stop" && game.ranks.length >= LEAST) {
      game.ended = true;
      save();
      end();
    }
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("#guess-own")) {
      const field = document.querySelector("#guess-typed textarea");
      if (field.value.trim()) request({ text: field.value });
      field.value = ""; // it shows what is to be guessed
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    if (!event.target.closest("#guess-game")) return;
    const link = event.target.closest(".after a");
    if (link) return copy(event, link);
    const { symbol, action } = event.target.closest("button")?.dataset ?? {};
    if (symbol) guess(symbol);
    if (action) act(action);
    // after a pointer's click, so that the space bar does not press the key again
    if (isPlaying() && getSelection().isCollapsed && event.detail) {
      cursor.focus({ preventScroll: true });
    }
  });

  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (!isPlaying() || !target.closest?.("#guess-game") || [...key].length !== 1) return;
    const isShortcut = event.ctrlKey || event.metaKey || event.altKey;
    if ((isShortcut && !event.getModifierState("AltGraph")) || event.repeat) return;
    if (key === " " && target !== cursor) return; // presses a button
    if (!passage.symbols.includes(key.toLowerCase())) return;
    event.preventDefault();
    guess(key.toLowerCase());
  });

  // Without a clipboard it opens like any other link.
  function copy(event, link) {
    if (!navigator.clipboard || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    navigator.clipboard.writeText(link.href).then(
      () => {
        link.textContent = "Link copied";
        setTimeout(() => (link.textContent = "Link to this passage"), 2000);
      },
      () => (location.href = link.href),
    );
  }

  addEventListener("popstate", () => {
    const isWaiting = find("guess-game").dataset.state === "waiting";
    const coming = isWaiting ? !wanted.action && wanted.code : passage?.code;
    if (asked() && asked() !== coming) request({ code: asked() });
  });

  window.charlm = {
    ...window.charlm,
    passageRequest: () => JSON.stringify({ action: "passage", ...wanted }),
    startGuessing: start,
    entropyBounds,
  };
  request({ code: asked() });
})();
