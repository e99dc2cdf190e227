// The branches of the text in Play, as a tree below it: the first text, and each text that went on
// with another letter below the one that it left. The tree holds addresses and labels, no texts.
(() => {
  const TREE = "charlm-branches";
  const MAX_ENTRIES = 50;
  const CONTEXT = 12; // characters before the letter that a label quotes
  const BEGINNING = 24; // characters of the first text's prompt that its label quotes
  const NAMES = { " ": "space", "\n": "new line", "\t": "tab" };
  const TOO_LONG = "This text is too long for an address, from which it would be shown again";
  const TEXTS = ["prompt", "model", "revision"]; // of an address; its other parts are numbers
  const LENGTHS = ["written", "max_new_chars"];

  // Each has an id, that of its parent, the query of its address, what its label says, and the id
  // of the branch that was shown last.
  let entries = [];
  try {
    const stored = JSON.parse(sessionStorage.getItem(TREE));
    if (Array.isArray(stored)) entries = stored;
  } catch {
    // storage is switched off: the tree lasts as long as this page
  }
  let current = null; // the entry of the text that is shown; without one, no tree is shown
  let asked = {}; // the request of the last text

  const entryOf = (id) => entries.find((entry) => entry.id === id);
  const branchesOf = (entry) => entries.filter((other) => other.parent === entry.id);

  // What tells the text of an address from others: it may be longer or shorter.
  function keyOf(query) {
    const parts = [...new URLSearchParams(query)].filter(([name]) => !LENGTHS.includes(name));
    const values = parts.map(([name, value]) => [name, TEXTS.includes(name) ? value : +value]);
    return JSON.stringify(values.sort());
  }

  const entryFor = (query) =>
    entries.find((entry) => entry.query && keyOf(entry.query) === keyOf(query)) ?? null;

  function textRequested(request) {
    if (request.action === "look") return;
    const query = window.charlm.textQuery(request.query);
    asked = { ...request, query };
    if (request.action !== "address") return;
    const entry = entryFor(query);
    if (entry) show(entry);
    else asked = {};
  }

  // Called when a text begins and when it has ended. After an address was requested, what is shown
  // may be the end of the text before.
  function textShown() {
    const article = document.querySelector("#text [data-shown]");
    const hasEnded = !article?.classList.contains("generating");
    if (hasEnded) keepHeight(false);
    if (!article || asked.action === "address") return;
    const query = window.charlm.textQuery();
    if (isBranch(article)) showBranch(query);
    else if (asked.action === "generate") {
      if (!hasEnded || query !== current?.query) show(null);
    } else if (["continue", "letter"].includes(asked.action)) {
      if (hasEnded && current) lengthen(article, query);
    } else show(entryFor(query));
  }

  function isBranch(article) {
    if (asked.action !== "branch") return false;
    const before = [...asked.text].slice(0, asked.index).join("");
    return JSON.parse(article.dataset.shown).prompt === before + asked.char;
  }

  function showBranch(query) {
    asked.entry ??= entryFor(query) ?? addBranch(query);
    asked.entry.query = query;
    show(asked.entry);
  }

  function addBranch(query) {
    if (!current) {
      const prompt = [...asked.prompt];
      const quoted = prompt.slice(0, BEGINNING).join("");
      const cut = prompt.length > BEGINNING;
      entries = [{ id: 0, parent: null, query: asked.query, quoted, cut }];
      current = entries[0];
    }
    const text = [...asked.text];
    const { index, char } = asked;
    const quoted = text.slice(Math.max(0, index - CONTEXT), index).join("");
    const label = { quoted, cut: index > CONTEXT, char, replaced: text[index] };
    const entry = { id: entries.at(-1).id + 1, parent: current.id, query, ...label };
    entries.push(entry);
    if (entries.length > MAX_ENTRIES) dropOne(entry);
    return entry;
  }

  // Drop the oldest entry without branches; if all are one line of descent, the first text.
  function dropOne(added) {
    const isLeaf = (entry) => entry !== added && branchesOf(entry).length === 0;
    const dropped = entries.find(isLeaf) ?? entries[0];
    entries = entries.filter((entry) => entry !== dropped);
    for (const entry of branchesOf(dropped)) entry.parent = null;
  }

  // The text that is shown goes on from that of the current entry, or begins anew.
  function lengthen(article, query) {
    if (!window.charlm.letters.textOf(article).startsWith(asked.text)) return show(null);
    current.query = query;
    show(current);
  }

  function show(entry) {
    current = entry;
    for (let child = entry, parent; (parent = child && entryOf(child.parent)); child = parent) {
      parent.next = child.id;
    }
    try {
      sessionStorage.setItem(TREE, JSON.stringify(entries));
    } catch {
      // as above, or full
    }
    render();
  }

  // Labels are untrusted: they hold what models and visitors wrote.
  function element(tag, text = "", attributes = {}) {
    const made = document.createElement(tag);
    made.textContent = text;
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    return made;
  }

  // A quotation, isolated from the direction of the text around it.
  const quote = (text) => ["“", element("bdi", text.replaceAll("\n", "↵")), "”"];

  function nameOf(char) {
    if (NAMES[char]) return [NAMES[char]];
    if (!/[\p{C}\p{Z}]/u.test(char)) return quote(char);
    return [`U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`];
  }

  function labelOf({ quoted, cut, char, replaced }) {
    if (char === undefined) return quoted ? quote(quoted + (cut ? "…" : "")) : ["No prompt"];
    const after = quoted ? quote((cut ? "…" : "") + quoted) : ["Beginning"];
    return [...after, " → ", ...nameOf(char), " instead of ", ...nameOf(replaced)];
  }

  function buttonOf(entry) {
    const button = element("button", "", { "data-entry": entry.id });
    button.append(...labelOf(entry));
    if (entry === current) button.setAttribute("aria-current", "true");
    enable(button, entry);
    return button;
  }

  // Let a button show an entry's text, if there is one.
  function enable(button, entry) {
    button.disabled = !entry?.query;
    if (entry && !entry.query) button.title = TOO_LONG;
    button.onclick = () => {
      keepHeight(true);
      window.charlm.openText(entry.query);
    };
  }

  // A text that is written once more must not move the tree, nor scroll a page that gets shorter.
  function keepHeight(isKept) {
    const text = document.getElementById("text");
    text.style.minHeight = isKept ? `${text.offsetHeight}px` : "";
  }

  function listOf(shown) {
    const list = element("ul");
    for (const entry of shown) {
      const item = element("li");
      item.append(buttonOf(entry));
      const branches = branchesOf(entry);
      if (branches.length) item.append(listOf(branches));
      list.append(item);
    }
    return list;
  }

  function headOf() {
    const head = element("div");
    const undo = element("button", "Undo", { "data-entry": "undo" });
    const redo = element("button", "Redo", { "data-entry": "redo" });
    enable(undo, entryOf(current.parent));
    enable(redo, entryOf(current.next));
    head.append(element("span", "Branches"), undo, redo);
    return head;
  }

  function render() {
    const nav = document.querySelector("#branches nav");
    if (!nav) return;
    const focused = nav.contains(document.activeElement) && document.activeElement.dataset.entry;
    const scrolled = nav.querySelector("ul")?.scrollTop ?? 0;
    nav.hidden = !current;
    nav.replaceChildren(...(current ? [headOf(), listOf(branchesOf({ id: null }))] : []));
    if (!current) return;
    const list = nav.querySelector("ul");
    const marked = nav.querySelector("[aria-current]");
    list.scrollTop = scrolled;
    const [box, at] = [list.getBoundingClientRect(), marked.getBoundingClientRect()];
    list.scrollTop += Math.min(0, at.top - box.top) + Math.max(0, at.bottom - box.bottom);
    // a button that was pressed and is no longer possible passes the focus on
    const target = focused && nav.querySelector(`[data-entry="${focused}"]:enabled`);
    if (focused) (target ?? nav.querySelector("button:enabled")).focus({ preventScroll: true });
  }

  window.charlm = { ...window.charlm, textRequested, textShown };
})();
