// The page's behaviour in the browser, without requests to the server.
(() => {
  const find = (id) => document.getElementById(id);
  const matches = (query) => window.matchMedia(query).matches;
  const isNarrow = () => matches("(max-width: 768px)");
  const behavior = () => (matches("(prefers-reduced-motion: reduce)") ? "auto" : "smooth");
  const DOUBLE_CLICK = 400; // milliseconds

  // The second click of a double click on Generate must not hit Stop, which appears in its place.
  let generateClicked = -DOUBLE_CLICK;
  document.addEventListener(
    "click",
    (event) => {
      const button = event.target.closest("button");
      if (button?.id === "generate") generateClicked = event.timeStamp;
      const early = event.timeStamp - generateClicked < DOUBLE_CLICK;
      if (button?.id === "stop-generating" && early && event.detail) event.stopPropagation();
    },
    true,
  );

  // Ctrl+Enter or Cmd+Enter generates and Escape stops, wherever the focus is.
  document.addEventListener("keydown", (event) => {
    const generates = event.key === "Enter" && (event.ctrlKey || event.metaKey);
    const id = generates ? "generate" : event.key === "Escape" ? "stop-generating" : null;
    const button = id && find(id);
    if (!button?.offsetParent) return;
    event.preventDefault();
    button.click();
  });

  // Screen readers hear of the beginning and the end of the run shown, and of each new notice, but
  // of no figures.
  const RUN_ACTIONS = ["write", "pause", "resume", "stop", "delete"];
  let shown = {}; // the run and its state
  const NOTICES = ["address-notice", "hub-notice", "notice", "train-notice"];
  NOTICES.push("guess-notice", "guess-feedback"); // of the game
  const notices = {}; // as last announced
  new MutationObserver(() => {
    const run = document.querySelector("#run-head .run")?.dataset;
    for (const id of NOTICES) {
      const message = find(id)?.querySelector("[data-announcement]")?.dataset.announcement ?? "";
      if (message && message !== notices[id]) announce(message);
      notices[id] = message;
    }
    if (!run) return;
    if (run.run === shown.run && run.state !== shown.state) announce(run.announcement);
    shown = { run: run.run, state: run.state };
    // an action that was pressed and is no longer possible passes the focus on
    const isLost = document.activeElement === document.body && !find(focused)?.offsetParent;
    if (isLost && [...RUN_ACTIONS, "delete-yes", "delete-no"].includes(focused)) {
      RUN_ACTIONS.map(find).find((button) => button?.offsetParent)?.focus({ preventScroll: true });
    }
  }).observe(document.documentElement, {
    subtree: true,
    childList: true,
    attributes: true, // of elements that Gradio keeps
    attributeFilter: ["data-announcement", "data-run", "data-state"],
  });

  // When a generation begins or ends, Generate and Stop take each other's place: the focus stays
  // there, and screen readers hear of it, but of no single letter.
  const BUTTONS = ["generate", "stop-generating"];
  const GENERATING = "#text .generating, #compared .generating";
  let focused = null; // the id of the element that had the focus last
  let generating = false;
  document.addEventListener("focusin", (event) => (focused = event.target.id));
  new MutationObserver(() => {
    const text = find("text");
    const now = Boolean(document.querySelector(GENERATING));
    if (!text || now === generating) return;
    generating = now;
    const active = document.activeElement;
    const atButtons = active === document.body || BUTTONS.includes(active?.id);
    if (atButtons && BUTTONS.includes(focused)) find(now ? BUTTONS[1] : BUTTONS[0]).focus();
    // hidden meanwhile
    if (!now && active === document.body && focused === "continue") find("continue").focus();
    if (window.charlm.isComparing()) {
      return announce(now ? "the models are writing" : "done: the texts can be compared");
    }
    if (now) window.charlm.showText(window.charlm.deselect());
    const model = document.querySelector("#model input:checked")?.value ?? "the model";
    const done = find("status")?.textContent.match(/[\d,]+ characters/)?.[0];
    announce(now ? `${model} is writing` : `done: ${done ?? "no characters"}`);
  }).observe(document.documentElement, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["class"],
  });

  function announce(sentence) {
    const region = find("announcements");
    if (region) region.textContent = sentence;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.id === "copy") copyText(button);
    // responds at once, even if the server no longer answers
    if (button.id === "stop-generating") {
      const texts = document.querySelectorAll(GENERATING);
      texts.forEach((text) => text.classList.remove("generating"));
    }
    // on a phone, what a control changes is out of view
    if (button.id === "generate" || button.closest("#examples")) {
      showOnPhone(window.charlm.isComparing() ? "comparison" : "output");
    }
    if (button.id === "train") showOnPhone("run-head");
  });
  document.addEventListener("change", (event) => {
    if (event.target.closest("#model")) showOnPhone("output");
    if (event.target.closest("#runs")) showOnPhone("run-head");
  });

  function showOnPhone(id) {
    if (isNarrow()) find(id).scrollIntoView({ behavior: behavior() });
  }

  // A link to a generation is copied when clicked; without a clipboard it opens like any other.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("#link, #compared-summary .link");
    if (!link || !navigator.clipboard || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    navigator.clipboard.writeText(link.href).then(
      () => {
        link.textContent = "link copied";
        setTimeout(() => (link.textContent = "link to this"), 2000);
      },
      () => open(link.href, link.target || "_self"),
    );
  });

  const shownText = () =>
    [...find("text").querySelectorAll("p")].map((p) => p.textContent).join("\n");

  // A request for a text, with the text that it goes on from.
  function requestOf(action) {
    if (action === "address") return { action, query: window.charlm.reopenedQuery() };
    const shown = find("text").querySelector("[data-shown]")?.dataset.shown;
    if (action === "generate" || !shown) return { action };
    const letter = window.charlm.selectedLetter();
    return { action, text: shownText(), ...letter, ...JSON.parse(shown) };
  }

  let typed = null; // the prompt's field when the text was requested

  function request(action) {
    if (action === "inspect") return window.charlm.inspection();
    if (action === "write_steps") return window.charlm.stepsRequest();
    const isText = ["generate", "compare"].includes(action);
    if (isText && window.charlm.isComparing()) return window.charlm.comparison(action);
    if (action === "compare_look") return window.charlm.comparedLetter();
    if (action !== "look") typed = find("prompt").querySelector("textarea").value;
    const parts = requestOf(action);
    window.charlm.textRequested(parts);
    return JSON.stringify(parts);
  }

  // The prompt for "Next letter": that of the text, which may be a branch, until another is typed.
  function promptOf(prompt) {
    const shown = find("text").querySelector("[data-shown]")?.dataset.shown;
    return shown && prompt === typed ? JSON.parse(shown).prompt : prompt;
  }

  // Each press of "Next letter" adds a letter. One letter is requested at a time, since a request
  // holds the text before the letter.
  const SECONDS = 5; // after which a letter is given up
  let requested = -Infinity; // when the letter on its way was
  let presses = 0; // that wait
  const isWaiting = () => performance.now() - requested < 1000 * SECONDS;
  document.addEventListener(
    "click",
    (event) => {
      if (!event.target.closest("#next-letter")) return;
      if (isWaiting()) {
        presses += 1;
        event.stopPropagation();
      } else requested = performance.now();
    },
    true,
  );

  function textEnded() {
    if (window.charlm.isComparing()) return window.charlm.comparisonEnded();
    window.charlm.showText(window.charlm.deselect());
    window.charlm.repaint();
    window.charlm.compareAgain();
    window.charlm.selectAsked();
    window.charlm.openInside(true);
    requested = -Infinity;
    if (!find("chances")?.querySelector(".chances")) presses = 0;
    // where the button stays in view
    else if (isNarrow()) find("chances").scrollIntoView({ block: "nearest", behavior: behavior() });
    if (presses > 0) {
      presses -= 1;
      find("next-letter").click();
    }
  }

  // Holding the space bar adds letter after letter, as holding Enter does.
  for (const kind of ["keydown", "keyup"]) {
    document.addEventListener(kind, (event) => {
      if (event.key !== " " || event.target.id !== "next-letter") return;
      event.preventDefault();
      if (kind === "keydown") event.target.click();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.repeat && event.target.id === "next-letter") presses = 0;
  });

  async function copyText(button) {
    let label = "Copied";
    try {
      await navigator.clipboard.writeText(shownText());
    } catch {
      // the clipboard is unavailable over plain http, or not permitted: select the text instead
      window.getSelection().selectAllChildren(find("text"));
      label = "Selected: now Ctrl+C";
    }
    button.textContent = label;
    setTimeout(() => (button.textContent = "Copy"), 2000);
  }

  // Some browsers copy an empty line after every paragraph.
  document.addEventListener("copy", (event) => {
    const selection = getSelection();
    const range = selection.rangeCount && selection.getRangeAt(0);
    if (!range || !range.commonAncestorContainer.closest?.(".play-text")) return;
    const lines = [...range.cloneContents().querySelectorAll("p")].map((p) => p.textContent);
    event.clipboardData.setData("text/plain", lines.join("\n"));
    event.preventDefault();
  });

  // The secret by which the server recognises the browser that started a run.
  function owner() {
    // A page that frames this one could lead clicks to its buttons: runs that were started on the
    // page itself cannot be acted on in a frame. Browsers keep the frames of other sites apart, too.
    const key = window.top === window ? "charlm-owner" : "charlm-owner-in-a-frame";
    let secret = null;
    try {
      secret = localStorage.getItem(key);
    } catch {
      // storage is switched off: the secret lasts as long as this page
    }
    if (!secret) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      secret = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      try {
        localStorage.setItem(key, secret);
      } catch {
        // as above
      }
    }
    return secret;
  }

  window.charlm = { ...window.charlm, owner, promptOf, request, textEnded };
})();
