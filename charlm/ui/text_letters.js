// The letters of a text that is set as paragraphs, one for each line. A letter is a
// { line, offset }; the offset at the end of a line is its newline.
(() => {
  const linesOf = (article) => [...article.querySelectorAll("p")];

  // The text nodes of a paragraph, with the offset in the line at which each begins.
  function* nodesOf(p) {
    const walker = document.createTreeWalker(p, NodeFilter.SHOW_TEXT);
    for (let start = 0, node; (node = walker.nextNode()); start += node.length) {
      yield { node, start };
    }
  }

  // The range of a letter; null for a newline.
  function rangeOf(article, { line, offset }) {
    for (const { node, start } of nodesOf(linesOf(article)[line])) {
      if (offset >= start + node.length) continue;
      const range = new Range();
      const size = String.fromCodePoint(node.data.codePointAt(offset - start)).length;
      range.setStart(node, offset - start);
      range.setEnd(node, Math.min(node.length, offset - start + size));
      return range;
    }
    return null;
  }

  // The letter at a point of the screen, or null.
  function letterAt(article, x, y) {
    const lines = linesOf(article);
    const line = lines.findIndex((p) => p.contains(document.elementFromPoint(x, y)));
    if (line < 0) return null;
    const length = lines[line].textContent.length;
    for (let offset = 0; offset < length; offset++) {
      const rects = [...(rangeOf(article, { line, offset })?.getClientRects() ?? [])];
      if (rects.some((r) => x >= r.left && x < r.right && y >= r.top && y < r.bottom)) {
        return { line, offset };
      }
    }
    return null;
  }

  const textOf = (article) => linesOf(article).map((p) => p.textContent).join("\n");

  // The index of a letter in the text, in code points, as the server counts.
  function indexOf(article, { line, offset }) {
    const lines = linesOf(article);
    const before = lines.slice(0, line).map((p) => `${p.textContent}\n`);
    before.push(lines[line].textContent.slice(0, offset));
    return [...before.join("")].length;
  }

  // The letter with an index in code points; the end of the text has one, too.
  function letterOf(article, index) {
    for (const [line, p] of linesOf(article).entries()) {
      const chars = [...p.textContent];
      if (index <= chars.length) return { line, offset: chars.slice(0, index).join("").length };
      index -= chars.length + 1;
    }
    return null;
  }

  // The ranges of the letters from one index up to another, a range for each line.
  function rangesBetween(article, first, end) {
    const ranges = [];
    for (const p of linesOf(article)) {
      const length = [...p.textContent].length;
      const range = new Range();
      const isHere = end > 0 && first < length;
      if (isHere && placed(range, p, Math.max(first, 0), Math.min(end, length))) ranges.push(range);
      first -= length + 1;
      end -= length + 1;
    }
    return ranges;
  }

  // Sets a range to the code points [first, end) of a paragraph; returns whether it has any.
  function placed(range, p, first, end) {
    const chars = [...p.textContent];
    const units = [first, end].map((n) => chars.slice(0, n).join("").length);
    for (const { node, start } of nodesOf(p)) {
      const length = node.length;
      if (units[0] >= start && units[0] < start + length) range.setStart(node, units[0] - start);
      if (units[1] > start && units[1] <= start + length) range.setEnd(node, units[1] - start);
    }
    return !range.collapsed;
  }

  const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

  // The letter that a key moves to from another one, or from the end for null; null if none.
  function moved(article, letter, key) {
    const lengths = linesOf(article).map((p) => p.textContent.length);
    const end = { line: lengths.length - 1, offset: lengths.at(-1) };
    if (!letter && ["ArrowRight", "ArrowDown"].includes(key)) return end;
    let { line, offset } = letter ?? end;
    if (key in STEPS) offset += STEPS[key];
    else if (key === "ArrowUp") line -= 1;
    else if (key === "ArrowDown") line += 1;
    else if (key === "Home") offset = 0;
    else if (key === "End") offset = lengths[line];
    else return null;
    if (offset < 0) offset = lengths[--line];
    else if (key === "ArrowRight" && offset > lengths[line]) {
      line += 1;
      offset = 0;
    }
    if (!(line in lengths)) return null;
    return { line, offset: Math.min(offset, lengths[line]) };
  }

  const MOVES = [...Object.keys(STEPS), "ArrowUp", "ArrowDown", "Home", "End"];

  // Whether a key press moves among the letters.
  const isMove = (event) =>
    MOVES.includes(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey;

  function highlight(name, ranges) {
    if (ranges.length) CSS.highlights?.set(name, new Highlight(...ranges));
    else CSS.highlights?.delete(name);
  }

  const letters = { textOf, rangeOf, letterAt, indexOf, letterOf, rangesBetween };
  window.charlm = { ...window.charlm, letters: { ...letters, moved, isMove, highlight } };
})();
