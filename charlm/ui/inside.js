// The tab "Look inside": the text, the letter, the parts off and the panel that it shows. The text
// is the one in Play, or one that the visitor types; the address holds the rest.
(() => {
  const find = (id) => document.getElementById(id);
  const { textOf, letterAt, indexOf, letterOf, rangesBetween } = window.charlm.letters;
  const { moved, isMove, highlight } = window.charlm.letters;
  const SETTINGS = { temperature: 0.8, top_k: 0, top_p: 0, min_p: 0, seed: 1 }; // of a fresh page
  const MAX_TEXT = 4000; // UTF-16 units of a typed text, beyond which the address does not hold it
  const MAX_OFF = 2000; // characters of the names of parts, as the server allows
  const SECONDS = 5; // after which a request is given up
  const TYPING = 400; // milliseconds without a key before a typed text is inspected

  const article = () => find("inside-text")?.querySelector("article");
  const isOpen = () => Boolean(find("inside")?.offsetParent);
  const chosen = (id) => document.querySelector(`#${id} input:checked`)?.value;
  const typedField = () => document.querySelector("#inside-typed textarea");
  const lengthOf = (text) => [...text].length;

  // { source, raw, text, isClean, prompt_length, index, model, off, head, changed, other, and the
  // sampler's settings }
  let state = null;
  let wanted = fromAddress(); // until a text is there
  let picked = null; // the index of the letter that was selected in Play since
  let serial = 0; // of the latest request
  let requested = 0; // when it was made
  let described = ""; // the state that the last answer described

  function fromAddress() {
    const asked = new URL(location).searchParams;
    const at = /^\d{1,5}$/.exec(asked.get("at") ?? "");
    const change = /^(\d{1,4}):(.?)$/su.exec(asked.get("change") ?? "");
    const off = asked.get("off") ?? "";
    return {
      ...(at && { index: Number(at[0]) }),
      ...(off && off.length < MAX_OFF && { off: off.split(",") }),
      ...(asked.get("inside_model") && { model: asked.get("inside_model") }),
      ...(asked.get("head") && { head: asked.get("head") }),
      ...(change && { changed: Number(change[1]), other: change[2] }),
    };
  }

  // Whether the page was opened by a link to a text, which has not been written yet.
  const { searchParams } = new URL(location);
  let isLinkPending = searchParams.has("prompt") && !searchParams.has("compare");

  // The text to look inside; null while Play is writing.
  function nextText() {
    const played = find("text")?.querySelector("article");
    const isWriting = isLinkPending || played?.classList.contains("generating");
    const typed = typedField()?.value;
    if (!played || (isWriting && !typed)) return null;
    const shown = JSON.parse(played.dataset.shown ?? "{}");
    const asked = new URLSearchParams(isLinkPending ? location.search : ""); // of the text to come
    const settings = { ...SETTINGS };
    for (const name in settings) settings[name] = shown[name] ?? asked.get(name) ?? settings[name];
    const text = typed || textOf(played);
    const length = lengthOf(text);
    return {
      ...settings,
      source: JSON.stringify([text, typed ? "" : shown]),
      raw: text,
      text,
      isClean: false, // whether it has no characters that the model does not know
      model: shown.model ?? asked.get("model") ?? chosen("model"),
      prompt_length: typed ? length : (shown.prompt_length ?? length),
      index: typed ? length : Math.max(0, length - 1),
    };
  }

  // Shows the text that there is now, and keeps the letter if it is the text shown already.
  // `isWritten`: whether a text has ended, so that none is waited for.
  function open(isWritten) {
    if (isWritten && !isLinkPending) forget();
    if (isWritten || document.querySelector("#address-notice .notice")) isLinkPending = false;
    const next = isOpen() && nextText();
    if (!next) return;
    const isTyped = Boolean(typedField().value);
    if (next.source !== state?.source) {
      const model = isTyped && state ? state.model : next.model;
      const kept = model === state?.model ? { off: state.off } : { off: [] };
      const asked = { changed: -1, other: "", head: state?.head ?? "", ...wanted };
      state = { ...next, ...kept, model, ...asked };
    } else if (picked === null && isShown()) return;
    if (picked !== null && !isTyped) state.index = picked;
    state.index = Math.min(state.index, lengthOf(state.text));
    [wanted, picked] = [{}, null];
    inspect();
  }

  // Whether the latest request has been answered without an error, or its answer is on the way.
  function isShown() {
    const isAnswered = JSON.parse(described || "{}").serial === serial;
    const isWaiting = performance.now() - requested < 1000 * SECONDS;
    return (isAnswered || isWaiting) && !find("inside-shown").querySelector(".notice");
  }

  // Play has written another text, which the address names: what it says of the one before is gone.
  function forget() {
    wanted = {};
    const gone = { text: "", off: "", head: "", change: "", inside_model: "" };
    if (!isOpen()) window.charlm.showInAddress(gone);
  }

  function inspect(changes = {}) {
    if (!state) return;
    Object.assign(state, changes);
    serial += 1;
    requested = performance.now();
    find("inspect").click();
    showAddress();
  }

  function inspection() {
    const panel = chosen("inside-panel-choice");
    const { source, raw, isClean, off, head, start, ...others } = state;
    const costs = document.querySelector('#inside-costs [aria-busy="false"]');
    return JSON.stringify({
      action: "inspect",
      ...others,
      off: off.join(","),
      panel,
      serial,
      has_text: isClean,
      costs_of: costs?.dataset.of ?? "",
    });
  }

  // The description of an answer has arrived. Returns whether its text has, too.
  function inspected(description) {
    const { serial: answered, length, ...others } = JSON.parse(description);
    if (answered !== serial) return true; // a newer one is on its way
    if (!article() || lengthOf(textOf(article())) !== length) return false;
    Object.assign(state, others, { text: textOf(article()), isClean: true });
    showLetter();
    showModel();
    showAddress();
    scrollToLetter();
    return true;
  }

  function showLetter() {
    if (!state?.isClean || !article()) return;
    const { index, start, text } = state;
    highlight("inspected-letter", rangesBetween(article(), index, index + 1));
    const after = rangesBetween(article(), index + 1, lengthOf(text));
    highlight("outside-context", [...rangesBetween(article(), 0, start), ...after]);
    article().classList.toggle("predicts-next", index >= lengthOf(text));
  }

  // The letter stays in view, in the text that scrolls in its frame.
  function scrollToLetter() {
    const [range] = rangesBetween(article(), Math.max(0, state.index - 1), state.index + 1);
    const box = range?.getBoundingClientRect();
    const frame = article().getBoundingClientRect();
    if (box && (box.top < frame.top || box.bottom > frame.bottom)) {
      article().scrollTop += box.top - frame.top - frame.height / 2;
    }
  }

  function showAddress() {
    const played = find("text").querySelector("article");
    const isTyped = Boolean(typedField().value);
    const shown = JSON.parse(played?.dataset.shown ?? "{}");
    const isTooLong = isTyped && state.raw.length >= MAX_TEXT;
    const hasChange = state.changed >= 0 && !isTooLong;
    const values = {
      text: isTyped ? state.raw : "",
      at: isTooLong ? "" : String(state.index),
      off: state.off.join(","),
      head: state.head,
      panel: chosen("inside-panel-choice"),
      change: hasChange ? `${state.changed}:${state.other}` : "",
      inside_model: state.model === shown.model ? "" : state.model,
    };
    window.charlm.showInAddress(values);
  }

  function showModel() {
    const radios = [...document.querySelectorAll("#inside-model input")];
    const radio = radios.find((input) => input.value === state.model);
    if (radio && !radio.checked) radio.click();
  }

  function set(element, name, value) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }

  // Switches of parts, as the state has them; the table arrives row by row.
  function showSwitches() {
    for (const button of document.querySelectorAll("#inside-costs [data-part]")) {
      set(button, "aria-checked", String(!state?.off.includes(button.dataset.part)));
    }
  }

  // Gradio changes the elements of an answer that it can keep, or replaces them.
  new MutationObserver((changes) => {
    const caption = document.querySelector("#inside-caption [data-inspected]");
    const now = caption?.dataset.inspected ?? described;
    if (now !== described && inspected(now)) described = now;
    else if (changes.some(({ target }) => find("inside-text")?.contains(target))) {
      showLetter();
      shownWeights = null;
    }
    showSwitches();
    showHead();
    restoreFocus();
  }).observe(document.documentElement, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["aria-checked", "aria-pressed", "data-inspected", "data-levels", "disabled"],
  });

  // The weights of a head, as the colours behind the letters of the text.
  const LEVELS = [1, 2, 3, 4, 5];
  const pressedHead = () => document.querySelector("#inside-shown .heads [aria-pressed=true]");

  function showWeights(head) {
    const ranges = LEVELS.map(() => []);
    if (head && article()) {
      const start = Number(head.closest("[data-start]").dataset.start);
      for (const { 0: run, index } of head.dataset.levels.matchAll(/([1-9])\1*/g)) {
        const first = start + index;
        ranges[run[0] - 1].push(...rangesBetween(article(), first, first + run.length));
      }
    }
    ranges.forEach((level, i) => highlight(`weight-${LEVELS[i]}`, level));
  }

  // The head that was selected, in the panel that has just arrived.
  let shownWeights = null;
  function showHead() {
    for (const head of document.querySelectorAll("#inside-shown [data-head]")) {
      set(head, "aria-pressed", String(head.dataset.head === state?.head));
    }
    const pressed = pressedHead();
    const weights = pressed && [pressed.dataset.head, pressed.dataset.levels, described].join();
    if (weights !== shownWeights) showWeights(pressed);
    shownWeights = weights;
  }

  for (const kind of ["mouseover", "focusin", "mouseout", "focusout"]) {
    document.addEventListener(kind, (event) => {
      const head = event.target.closest?.("#inside-shown [data-levels]");
      if (head) showWeights(kind.endsWith("over") || kind === "focusin" ? head : pressedHead());
    });
  }

  // The focus returns to what an answer has replaced, or to what is next to it, if it is gone.
  let focused = null; // its selector
  let nextTo = null; // the selector of what takes its place
  const KEYS = ["step", "change", "part", "head"];
  document.addEventListener("focusin", ({ target }) => {
    [focused, nextTo] = [null, null];
    if (!target.closest("#inside")) return;
    if ("step" in target.dataset) nextTo = "#inside [data-step]:not([disabled])";
    if ("allOn" in target.dataset) nextTo = "#inside-panel-choice input:checked";
    if (target === article()) focused = "#inside-text article";
    if (target.id === "changed") {
      focused = "#changed";
      target.select();
    }
    if ("allOn" in target.dataset) focused = "[data-all-on]";
    for (const key of KEYS) {
      const value = target.dataset[key];
      if (value) focused = `#inside [data-${key}="${CSS.escape(value)}"]:not([disabled])`;
    }
  });

  document.addEventListener("pointerdown", () => (focused = null));

  function restoreFocus() {
    if (document.activeElement !== document.body || !focused) return;
    const element = document.querySelector(focused) ?? (nextTo && document.querySelector(nextTo));
    element?.focus({ preventScroll: true });
  }

  document.addEventListener("click", (event) => {
    if (!event.target.closest("#inside") || !state) return;
    if (article()?.contains(event.target) && getSelection().isCollapsed) {
      const letter = letterAt(article(), event.clientX, event.clientY);
      if (letter) inspect({ index: indexOf(article(), letter) });
    }
    const button = event.target.closest("button");
    if (!button) return;
    const { step, change, part, head } = button.dataset;
    if (step) {
      const index = Math.min(state.index + Number(step), lengthOf(state.text));
      inspect({ index: Math.max(0, index) });
    }
    if (change) {
      inspect({ changed: Number(change), other: "" });
      focused = "#changed";
      button.blur();
    }
    if (part) {
      const isOff = state.off.includes(part);
      inspect({ off: isOff ? state.off.filter((name) => name !== part) : [...state.off, part] });
      showSwitches();
    }
    if ("allOn" in button.dataset) {
      inspect({ off: [] });
      showSwitches();
    }
    if (head) {
      state.head = state.head === head ? "" : head;
      showHead();
      showAddress();
    }
  });

  document.addEventListener("keydown", (event) => {
    if (!state || event.target !== article() || !isMove(event)) return;
    event.preventDefault();
    const letter = moved(article(), letterOf(article(), state.index), event.key);
    if (letter) inspect({ index: indexOf(article(), letter) });
  });

  // The arrow keys move among the letters that can be changed, of which Tab reaches one.
  document.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" };
    const next = event.target.dataset?.change && event.target[moves[event.key]];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });

  let typing = null;
  document.addEventListener("input", (event) => {
    if (event.target === typedField()) {
      clearTimeout(typing);
      typing = setTimeout(open, TYPING, false);
    }
    if (event.target.id !== "changed" || !event.target.value) return;
    const typed = [...(event.data ?? event.target.value)].at(-1);
    const other = { "↵": "\n", "␣": " " }[typed] ?? typed;
    inspect({ changed: Number(event.target.dataset.index), other });
  });

  document.addEventListener("change", (event) => {
    if (!state) return;
    if (event.target.closest("#inside-panel-choice")) inspect();
    const model = event.target.closest("#inside-model") && event.target.value;
    // another network has other parts
    if (!model || model === state.model) return;
    const { raw } = state;
    const index = Math.min(state.index, lengthOf(raw));
    inspect({ model, off: [], text: raw, index, isClean: false });
  });

  // Another address of the history, or another text in Play.
  addEventListener("popstate", () => {
    wanted = fromAddress();
    if (state) state.source = null;
    const asked = new URL(location).searchParams;
    const panel = asked.get("panel") ?? "context";
    document.querySelector(`#inside-panel-choice input[value="${CSS.escape(panel)}"]`)?.click();
    const field = typedField();
    if (field && field.value !== (asked.get("text") ?? "")) {
      field.value = asked.get("text") ?? "";
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    open();
  });

  const letterSelected = (index) => (picked = index);
  const inside = { inspection, letterSelected, openInside: open };
  window.charlm = { ...window.charlm, ...inside };
})();
