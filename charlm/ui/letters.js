// Letters of a finished text: select one by mouse, finger or arrow keys to see the chances it had,
// and let the text go on with another one.
(() => {
  const find = (id) => document.getElementById(id);
  const article = () => find("text")?.querySelector("[data-shown]:not(.generating)");
  const lines = () => [...article().querySelectorAll("p")];
  let selected = null; // { line, offset } in the text's paragraphs; a line's end is its newline
  let char = ""; // to go on with instead of the selected letter

  // The text nodes of a line, with the offset in the line at which each begins.
  function* nodesOf(line) {
    const walker = document.createTreeWalker(lines()[line], NodeFilter.SHOW_TEXT);
    for (let start = 0, node; (node = walker.nextNode()); start += node.length) {
      yield { node, start };
    }
  }

  function rangeOf({ line, offset }) {
    for (const { node, start } of nodesOf(line)) {
      if (offset >= start + node.length) continue;
      const range = new Range();
      const size = String.fromCodePoint(node.data.codePointAt(offset - start)).length;
      range.setStart(node, offset - start);
      range.setEnd(node, Math.min(node.length, offset - start + size));
      return range;
    }
    return null; // a newline
  }

  // The letter at a point of the screen.
  function letterAt(x, y) {
    const line = lines().findIndex((p) => p.contains(document.elementFromPoint(x, y)));
    if (line < 0) return null;
    const length = lines()[line].textContent.length;
    for (let offset = 0; offset < length; offset++) {
      const rects = [...(rangeOf({ line, offset })?.getClientRects() ?? [])];
      if (rects.some((r) => x >= r.left && x < r.right && y >= r.top && y < r.bottom)) {
        return { line, offset };
      }
    }
    return null;
  }

  function select(letter) {
    selected = letter;
    const range = letter && rangeOf(letter);
    if (range) CSS.highlights?.set("selected-letter", new Highlight(range));
    else CSS.highlights?.delete("selected-letter");
    if (letter) find("look").click();
  }

  // The index of a letter in the text, in code points, as the server counts.
  function indexOf({ line, offset }) {
    const before = lines().slice(0, line).map((p) => `${p.textContent}\n`);
    before.push(lines()[line].textContent.slice(0, offset));
    return [...before.join("")].length;
  }

  const selectedLetter = () => (selected ? { index: indexOf(selected), char } : {});

  document.addEventListener("click", (event) => {
    if (article()?.contains(event.target) && getSelection().isCollapsed) {
      select(letterAt(event.clientX, event.clientY));
    }
    const button = event.target.closest(".chances button");
    if (!button || !article()) return;
    selected = letterOf(Number(button.closest(".chances").dataset.index));
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

  // The letter with an index in code points.
  function letterOf(index) {
    for (const [line, p] of lines().entries()) {
      const chars = [...p.textContent];
      if (index <= chars.length) return { line, offset: chars.slice(0, index).join("").length };
      index -= chars.length + 1;
    }
    return null;
  }

  const STEPS = { ArrowLeft: -1, ArrowRight: 1 };
  document.addEventListener("keydown", (event) => {
    if (event.target !== article() || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = lines();
    const last = all.at(-1).textContent.length - 1;
    const from = selected ?? { line: all.length - 1, offset: last + 1 };
    let { line, offset } = from;
    if (event.key in STEPS) offset += STEPS[event.key];
    else if (event.key === "ArrowUp") line -= 1;
    else if (event.key === "ArrowDown") line += 1;
    else if (event.key === "Home") offset = 0;
    else if (event.key === "End") offset = all[line].textContent.length;
    else return;
    event.preventDefault();
    if (offset < 0) offset = all[--line]?.textContent.length;
    else if (event.key === "ArrowRight" && offset > all[line].textContent.length) {
      line += 1;
      offset = 0;
    }
    if (!all[line]) return;
    offset = Math.min(offset, all[line].textContent.length);
    if (line === all.length - 1 && offset > last) offset = last;
    if (offset >= 0) select({ line, offset });
  });

  // The surprise of each letter as the colour behind it, while the button is pressed.
  const LEVELS = [1.5, 3, 5, 8]; // bits from which each colour is used
  const surprise = () => find("surprise");
  const isSurpriseShown = () => surprise()?.getAttribute("aria-pressed") === "true";
  let bits = []; // of each letter, in code points

  document.addEventListener(
    "click",
    (event) => {
      const button = event.target.closest("#surprise");
      if (!button) return;
      if (event.isTrusted && isSurpriseShown()) {
        event.stopPropagation();
        paint([]);
      } else if (!article()) event.stopPropagation();
    },
    true,
  );

  function paint(values) {
    bits = values;
    surprise().setAttribute("aria-pressed", String(values.length > 0));
    const ranges = LEVELS.map(() => []);
    values.forEach((value, index) => {
      const level = LEVELS.findLastIndex((least) => value >= least);
      const range = level < 0 ? null : rangeOf(letterOf(index));
      if (range) ranges[level].push(range);
    });
    ranges.forEach((level, i) => CSS.highlights?.set(`surprise-${i}`, new Highlight(...level)));
  }

  function repaint() {
    if (isSurpriseShown()) surprise().click();
  }

  document.addEventListener("mousemove", (event) => {
    if (!bits.length || !article()?.contains(event.target)) return;
    const letter = letterAt(event.clientX, event.clientY);
    const value = letter && bits[indexOf(letter)];
    article().title = value == null ? "" : `${value.toFixed(1)} bits`;
  });

  const field = () => find("bits").querySelector("textarea, input");
  const paintSurprise = () => paint(JSON.parse(field().value));
  window.charlm = { ...window.charlm, selectedLetter, deselect, paintSurprise, repaint };
})();
