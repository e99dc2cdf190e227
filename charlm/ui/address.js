// The page's address and the browser's history. The address names the tab, the text and the run;
// the browser's tab keeps newer input, which is restored when the page is loaded again.
(() => {
  const FIELDS = "charlm-fields";
  const tabs = () => document.querySelectorAll('button[role="tab"]');
  const nameOf = (tab) => tab.getAttribute("aria-controls").replace("-panel", "");
  const { embed, hide } = document.documentElement.dataset; // see page_parts.py
  const openTab = () => embed ?? new URL(location).searchParams.get("tab") ?? "play";

  // Browsers refuse to change the address more than some times a second, as letter by letter.
  const INTERVAL = 500; // milliseconds between two changes
  let pending = null; // the address that is set next
  let timer = null;
  let changed = -INTERVAL;
  const current = () => new URL(pending ?? location);

  function show(address, push = false) {
    if (address.href === current().href) return;
    if (push) setAddress(); // of the entry before
    pending = address;
    clearTimeout(timer);
    const wait = push ? 0 : changed + INTERVAL - performance.now();
    if (wait > 0) timer = setTimeout(() => setAddress(), wait);
    else setAddress(push);
  }

  function setAddress(push = false) {
    if (!pending) return;
    history[push ? "pushState" : "replaceState"](history.state, "", pending);
    changed = performance.now();
    pending = null;
    if (fields) saveFields(fields);
  }

  // A browser that loads the page again asks for the address that it had until now.
  addEventListener("pagehide", () => {
    const asked = location.search;
    setAddress();
    if (fields || location.search !== asked) saveFields(fields, asked);
  });

  // Another tab is another entry of the history.
  document.addEventListener("click", (event) => {
    const tab = event.target.closest('button[role="tab"], #write');
    if (!tab) return;
    const address = current();
    const name = tab.id === "write" ? "play" : nameOf(tab);
    if (name === "play") address.searchParams.delete("tab");
    else address.searchParams.set("tab", name);
    show(address, true);
  });
  addEventListener("popstate", () => {
    pending = null;
    if (fields) saveFields(fields);
    [...tabs()].find((tab) => nameOf(tab) === openTab())?.click();
    window.charlm.chooseMode(new URL(location).searchParams.has("compare"));
    if (textIn(new URL(location)) !== shownText) reopen(new URL(location));
  });

  const LINK = ["prompt", "model", "revision", "written", "max_new_chars", "temperature"];
  LINK.push("top_k", "top_p", "min_p", "seed", "compare");

  const MAX_LENGTH = 4000; // of what describes a text, which an address spells longer
  const textIn = (address) => JSON.stringify(LINK.map((name) => address.searchParams.get(name)));
  let shownText = textIn(new URL(location));

  // The address of the text that is shown: that of the link below it, if it has one; while a text
  // is written, that of the whole text. A text that goes on with another letter is another entry
  // of the history, so Back undoes it.
  function showText(isBranch) {
    const address = current();
    if (window.charlm.isComparing()) return;
    LINK.forEach((name) => address.searchParams.delete(name));
    const link = document.getElementById("link");
    const text = document.querySelector("#text .generating")?.dataset.shown ?? "{}";
    const parts = link ? new URL(link.href).searchParams : Object.entries(JSON.parse(text));
    for (const [name, value] of parts) {
      if (LINK.includes(name) && text.length < MAX_LENGTH) address.searchParams.set(name, value);
    }
    if (link) completeLink(link);
    shownText = textIn(address);
    show(address, isBranch);
    window.charlm.textShown();
  }

  // The link below a text leads to the whole page, also from a frame, and hides the same controls.
  function completeLink(link) {
    const address = new URL(link.href);
    if (hide) address.searchParams.set("hide", hide.replaceAll(" ", ","));
    link.href = address;
    if (embed) link.target = "_blank";
  }

  // So do the others to this page.
  for (const kind of ["pointerdown", "focusin", "click"]) {
    document.addEventListener(
      kind,
      ({ target }) => {
        const link = target.closest?.("a[href]");
        const isHere = link?.search && link.host === location.host;
        if (isHere && link.pathname === location.pathname && !link.closest(".full-page")) {
          completeLink(link);
        }
      },
      true, // before a click copies the link
    );
  }

  // So does the link above a tab in a frame, and shows what the frame shows.
  for (const kind of ["pointerdown", "focusin", "click"]) {
    document.addEventListener(kind, ({ target }) => {
      const link = target.closest?.(".full-page a");
      if (!link) return;
      const address = current();
      address.searchParams.delete("embed");
      address.searchParams.delete("tab");
      if (embed !== "play") address.searchParams.set("tab", embed);
      link.href = address;
    });
  }

  // Request the text of an address. While the request waits for the one before, whose text may
  // begin meanwhile, the page's address may become that of the latter.
  let reopened = "";
  function reopen(address) {
    reopened = address.search;
    shownText = textIn(address); // so that Forward, before it is here, requests the other again
    document.getElementById("reopen").click();
  }

  // The part of a query that describes the text; empty if that is too long for an address.
  function textQuery(query = current().search) {
    const parts = [...new URLSearchParams(query)].filter(([name]) => LINK.includes(name));
    return new URLSearchParams(parts).toString();
  }

  // Shows the text that such a part describes, as another entry of the history.
  function openText(query) {
    const address = current();
    LINK.forEach((name) => address.searchParams.delete(name));
    new URLSearchParams(query).forEach((value, name) => address.searchParams.set(name, value));
    show(address, true);
    reopen(address);
  }

  // Shows the texts of a comparison in the address, which a query describes.
  function showQuery(query) {
    const address = current();
    LINK.forEach((name) => address.searchParams.delete(name));
    new URLSearchParams(query).forEach((value, name) => address.searchParams.set(name, value));
    shownText = textIn(address);
    show(address);
  }

  // Shows values in the address, by their names; empty ones are left out.
  function showInAddress(values) {
    const address = current();
    for (const [name, value] of Object.entries(values)) {
      if (value && value.length < MAX_LENGTH) address.searchParams.set(name, value);
      else address.searchParams.delete(name);
    }
    show(address);
  }

  function showRun(run) {
    const address = current();
    if (!run || openTab() !== "watch" || address.searchParams.get("run") === run) return;
    address.searchParams.set("run", run);
    show(address);
  }

  // `asked`: the query that the browser asks for when it loads the page again.
  function saveFields(values, asked = location.search) {
    fields = values;
    try {
      const address = location.search;
      sessionStorage.setItem(FIELDS, JSON.stringify({ address, asked, values }));
    } catch {
      // storage is switched off or full: the fields are not restored
    }
  }

  // Read before the page fills in its fields, and saves them.
  let saved = null;
  try {
    saved = JSON.parse(sessionStorage.getItem(FIELDS));
  } catch {
    // as above
  }
  const [visit] = performance.getEntriesByType("navigation");
  if (visit?.type === "reload" && saved?.asked === location.search) {
    history.replaceState(history.state, "", saved.address);
  }
  if (saved?.address !== location.search) saved = null;
  let fields = saved?.values ?? null; // as they were last saved

  window.charlm = {
    ...window.charlm,
    showText,
    showInAddress,
    textQuery,
    openText,
    showQuery,
    reopenedQuery: () => reopened,
    showRun,
    saveFields,
    savedFields: () => JSON.stringify(saved?.values ?? []),
  };
})();
