// Letters of a finished text: select one by mouse, finger or arrow keys to see the chances it had,
// and let the text go on with another one.
(() => {
  const find = (id) => document.getElementById(id);
  const article = () => find("text")?.querySelector("[data-shown]:not(.generating)");
  const { textOf, rangeOf, letterAt, indexOf, letterOf } = window.charlm.letters;
  const { moved, isMove, highlight } = window.charlm.letters;
  let selected = null; // a letter of the text
  let char = ""; // to go on with instead of the selected letter
  const query = new URL(location).searchParams;
  const isOfThisText = query.has("prompt") && !query.has("text") && !query.has("compare");
  let asked = isOfThisText ? query.get("at") : null; // the index to select in the first text

  function select(letter) {
    selected = letter;
    const range = letter && rangeOf(article(), letter);
    highlight("selected-letter", range ? [range] : []);
    const index = letter ? indexOf(article(), letter) : null;
    if (asked === null) window.charlm.showInAddress({ at: String(index ?? "") });
    window.charlm.letterSelected(index);
    if (letter) find("look").click();
  }

  const selectedLetter = () => (selected ? { index: indexOf(article(), selected), char } : {});

  document.addEventListener("click", (event) => {
    if (article()?.contains(event.target) && getSelection().isCollapsed) {
      select(letterAt(article(), event.clientX, event.clientY));
    }
    const button = event.target.closest(".chances button");
    if (!button || !article()) return;
    selected = letterOf(article(), Number(button.closest(".chances").dataset.index));
    char = button.dataset.char;
    find("branch").click();
  });

  // A new text has no selected letter. Returns whether the text went on with another letter.
  function deselect() {
    const isBranch = char !== "";
    char = "";
    select(null);
    return isBranch;
  }

  // Selects the letter that the address names.
  function selectAsked() {
    const index = asked === null ? -1 : Number(asked);
    asked = null;
    if (!article() || !(index >= 0 && index < [...textOf(article())].length)) return;
    select(letterOf(article(), Math.floor(index)));
  }

  document.addEventListener("keydown", (event) => {
    if (event.target !== article() || !isMove(event)) return;
    event.preventDefault();
    const length = [...textOf(article())].length;
    const letter = moved(article(), selected, event.key);
    const index = letter && Math.min(indexOf(article(), letter), length - 1);
    if (index >= 0 && letter) select(letterOf(article(), index));
  });

  // The surprise of each letter as the colour behind it, while the button is pressed.
  const LEVELS = [1.5, 3, 5, 8]; // bits from which each colour is used
  const surprise = () => find("surprise");
  const isSurpriseShown = () => surprise()?.getAttribute("aria-pressed") === "true";
  let bits = []; // of each letter, in code points
  let isWanted = false; // else an answer that is on its way is not shown

  document.addEventListener(
    "click",
    (event) => {
      const button = event.target.closest("#surprise");
      if (!button) return;
      isWanted = !(event.isTrusted && isSurpriseShown());
      if (!isWanted) paint([]);
      if (!isWanted || !article()) event.stopPropagation();
    },
    true,
  );

  function paint(values) {
    bits = values;
    surprise().setAttribute("aria-pressed", String(values.length > 0));
    const ranges = LEVELS.map(() => []);
    values.forEach((value, index) => {
      const level = LEVELS.findLastIndex((least) => value >= least);
      const range = level < 0 ? null : rangeOf(article(), letterOf(article(), index));
      if (range) ranges[level].push(range);
    });
    ranges.forEach((level, i) => highlight(`surprise-${i}`, level));
  }

  function repaint() {
    if (isSurpriseShown()) surprise().click();
  }

  document.addEventListener("mousemove", (event) => {
    if (!bits.length || !article()?.contains(event.target)) return;
    const letter = letterAt(article(), event.clientX, event.clientY);
    const value = letter && bits[indexOf(article(), letter)];
    const chance = `as likely as 1 in ${Math.round(2 ** value).toLocaleString("en")}`;
    article().title = value == null ? "" : `${value.toFixed(1)} bits, ${chance}`;
  });

  // `answer`: as letter_events.py describes it.
  function paintSurprise(answer) {
    if (!isWanted) return;
    const { bits, said } = JSON.parse(answer);
    find("text").dataset.surprise = said; // theme.css shows it
    paint(bits);
  }

  const selection = { selectedLetter, deselect, selectAsked };
  window.charlm = { ...window.charlm, ...selection, paintSurprise, repaint };
})();
