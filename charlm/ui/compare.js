// The mode "Compare" of the tab Play: the writers that are chosen, and the letters of their texts.
(() => {
  const find = (id) => document.getElementById(id);
  const { textOf, letterAt, indexOf, letterOf, rangesBetween } = window.charlm.letters;
  const { moved, isMove, highlight } = window.charlm.letters;
  const address = new URL(location).searchParams;

  const modeOf = (value) => document.querySelector(`#play-mode input[value=${value}]`);
  const isComparing = () => Boolean(modeOf("compare")?.checked);
  const columns = () => [...document.querySelectorAll("#compared > *")];
  const articleOf = (column) => column.querySelector("article");
  const articles = () => columns().map(articleOf).filter(Boolean);
  const isWriting = () => Boolean(find("compared")?.querySelector(".generating"));

  let state = null; // of the comparison that is shown, as the server describes it
  let described = "";
  let serial = 0; // of the latest request
  let writers = []; // to compare next; empty: the page chooses them
  let shared = null; // the prompt and the settings for them; null: those of the fields
  let isMoving = false; // whether the mode follows the address
  let index = null; // of the letter that is selected
  let isTapped = false; // whether by mouse or finger, and the chances have not arrived
  let asked = address.has("compare") ? address.get("at") : null; // the index to select first

  function chooseMode(compare) {
    const radio = modeOf(compare ? "compare" : "one");
    if (!radio || radio.checked) return;
    isMoving = true;
    radio.click();
    isMoving = false;
  }

  // The writers in the form.
  function chosen() {
    const rows = [...document.querySelectorAll("#writers .writers > div")].map((row) => {
      const values = [...row.querySelectorAll("select")].map((s) => [s.dataset.key, s.value]);
      const { model, step, off } = Object.fromEntries(values);
      return { model: step ? `${model}#${step}` : model, off: off ?? "" };
    });
    return rows.filter(({ model }) => model);
  }

  function compare(others, kept) {
    [writers, shared] = [others, kept];
    find("compare").click();
  }

  // The request for a comparison: of the prompt and the settings in the fields, if it is generated.
  function comparison(action) {
    serial += 1;
    const isNew = action === "generate";
    if (isNew) index = null;
    const request = { action: "compare", serial, writers: isNew ? chosen() : writers };
    if (!isNew) Object.assign(request, { shared, model: shared?.model });
    return JSON.stringify(request);
  }

  // The comparison begins with the text that Play shows, if a model has written it here.
  function open() {
    const article = document.querySelector("#text [data-shown]:not(.generating)");
    const shown = article ? JSON.parse(article.dataset.shown) : null;
    const isSame = ([name, value]) => !shown || shown[name] === value;
    const isItsOwn = ({ model, off }) => !shown || (model === shown.model && !off);
    if (!state?.writers.some(isItsOwn)) return compare([], shown);
    if (!Object.entries(state.shared).every(isSame)) return compare(state.writers, shown);
    window.charlm.showQuery(state.query);
    window.charlm.showInAddress({ at: String(index ?? "") });
  }

  document.addEventListener("change", ({ target }) => {
    if (target.closest("#play-mode") && !isMoving) {
      if (isComparing()) return open();
      if (isWriting()) find("stop-generating").click();
      window.charlm.showText();
      window.charlm.showInAddress({ at: "" });
    }
    const row = target.closest("#writers .writers > div");
    if (!row) return;
    // another model has other steps and parts
    if (target.dataset.key === "model") {
      for (const select of row.querySelectorAll("select")) if (select !== target) select.value = "";
    }
    compare(chosen(), state?.shared);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("#writers [data-writers]");
    if (button) compare(JSON.parse(button.dataset.writers), state?.shared);
    if (event.target.closest("#write")) chooseMode(false);
    const article = event.target.closest("#compared article");
    if (!article || !getSelection().isCollapsed) return;
    const letter = letterAt(article, event.clientX, event.clientY);
    if (!letter) return;
    isTapped = true;
    select(indexOf(article, letter));
  });

  document.addEventListener("keydown", (event) => {
    if (!event.target.matches?.("#compared article") || !isMove(event)) return;
    event.preventDefault();
    const article = event.target;
    const length = [...textOf(article)].length;
    const from = index === null ? null : letterOf(article, Math.min(index, length));
    const letter = moved(article, from, event.key);
    if (letter) select(Math.min(indexOf(article, letter), length - 1));
  });

  // Selects a letter in all texts.
  function select(selected) {
    if (isWriting() || !state) return;
    index = selected;
    paint();
    window.charlm.showInAddress({ at: String(index) });
    for (const article of articles()) scrollTo(article);
    find("compare-look").click();
  }

  function paint() {
    const all = index === null || isWriting() ? [] : articles();
    const ranges = all.flatMap((article) => rangesBetween(article, index, index + 1));
    highlight("compared-letter", ranges);
  }

  // The letter stays in view, in a text that scrolls in its frame.
  function scrollTo(article) {
    const [range] = rangesBetween(article, Math.max(0, index - 1), index + 1);
    const box = range?.getBoundingClientRect();
    const frame = article.getBoundingClientRect();
    if (box && (box.top < frame.top || box.bottom > frame.bottom)) {
      article.scrollTop += box.top - frame.top - frame.height / 2;
    }
  }

  // The request for the chances of the letter, which need the texts up to it only.
  function comparedLetter() {
    const texts = state.writers.map((_, number) => {
      const article = articleOf(columns()[number]);
      const text = [...(article ? textOf(article) : "")].slice(0, index + 1).join("");
      return { text, prompt_length: state.lengths[number] };
    });
    const { writers, shared } = state;
    return JSON.stringify({ action: "compare_look", writers, shared, texts, index });
  }

  function comparisonEnded() {
    if (asked !== null) index = /^\d{1,5}$/.test(asked) ? Number(asked) : null;
    asked = null;
    const length = Math.max(0, ...articles().map((article) => [...textOf(article)].length));
    if (index !== null && index < length) select(index);
    else window.charlm.showInAddress({ at: "" });
  }

  // An answer describes the comparison; the form shows its writers, unless they have been changed.
  let focused = null; // the id of the list that had the focus last
  document.addEventListener("focusin", ({ target }) => {
    focused = target.matches("#writers select") ? target.id : null;
  });
  new MutationObserver(() => {
    const now = document.querySelector("#compared-summary [data-compared]")?.dataset.compared;
    if (isTapped && find("compared-chances")?.querySelector(`[data-index="${index}"]`)) {
      isTapped = false;
      const isNarrow = matchMedia("(max-width: 768px)").matches;
      if (isNarrow) find("compared-chances").scrollIntoView(); // the texts fill the screen
    }
    if (!now || now === described) return;
    described = now;
    state = JSON.parse(now);
    if (![0, serial].includes(state.serial)) return;
    for (const select of document.querySelectorAll("#writers select")) {
      select.value = select.dataset.value;
    }
    if (focused && document.activeElement === document.body) find(focused)?.focus();
    if (isComparing()) window.charlm.showQuery(state.query);
    paint();
  }).observe(document.documentElement, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["data-compared", "data-index"],
  });

  const mode = { isComparing, chooseMode, comparison, comparedLetter, comparisonEnded };
  window.charlm = { ...window.charlm, ...mode };
})();
