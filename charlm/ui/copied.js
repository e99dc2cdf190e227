// "Copied?": underlines what of the finished text stands in the model's training text, and shows
// the place that a piece comes from. An answer is shown only beside the text that it is on.
(() => {
  const find = (id) => document.getElementById(id);
  const article = () => find("text")?.querySelector("[data-shown]:not(.generating)");
  const section = () => find("copies")?.querySelector("section");
  const { textOf, letterAt, indexOf, rangesBetween, highlight } = window.charlm.letters;
  const inAddress = () => new URL(location).searchParams.has("copied");
  let isOn = inAddress(); // whether each text is compared when it is finished
  let serial = 0; // of the request on its way, or answered
  let compared = null; // its text
  let isFetching = false;
  let isPressed = false; // by the visitor, who then sees the answer

  const button = () => find("copied");
  const isCurrent = () => isOn && article() && textOf(article()) === compared;

  // In the capture phase, before Gradio: the visitor's second press switches it off.
  document.addEventListener(
    "click",
    (event) => {
      const { target } = event;
      if (target.closest("#copied")) {
        if (event.isTrusted) {
          isOn = !isOn;
          isPressed = isOn;
          window.charlm.showInAddress({ copied: isOn ? "1" : "" });
        }
        if (!isOn || !article()) event.stopPropagation();
        render();
      } else if (target.closest("#copies [data-fetch]")) {
        isFetching = true;
        button().click();
      } else if (target.closest("#copies [data-piece]")) {
        choose(Number(target.closest("[data-piece]").dataset.piece), true);
      } else if (isCurrent() && article().contains(target) && getSelection().isCollapsed) {
        const letter = letterAt(article(), event.clientX, event.clientY);
        const index = letter ? indexOf(article(), letter) : -1;
        const piece = pieces().findIndex(([start, end]) => index >= start && index < end);
        if (piece < 0) return;
        event.stopPropagation(); // else the letter's chances were shown
        choose(piece, false);
      }
    },
    true,
  );

  function copiedRequest() {
    compared = textOf(article());
    serial += 1;
    const fetch = isFetching;
    isFetching = false;
    const request = JSON.parse(window.charlm.request("look"));
    return JSON.stringify({ ...request, serial, fetch, owner: window.charlm.owner() });
  }

  const pieces = () => JSON.parse(section()?.dataset.pieces ?? "[]");

  // Shows the place of a piece, or hides the one that is shown; scrolls to it, and to the text.
  function choose(i, isInList) {
    const buttons = [...find("copies").querySelectorAll("[data-piece]")];
    const isOpen = buttons[i]?.getAttribute("aria-expanded") === "true";
    const chosen = isInList && isOpen ? -1 : i;
    buttons.forEach((other, n) => {
      other.setAttribute("aria-expanded", String(n === chosen));
      find(`place-${n}`).hidden = n !== chosen;
    });
    const ranges = chosen < 0 ? [] : rangesBetween(article(), ...pieces()[chosen]);
    highlight("copied-piece", ranges);
    if (!ranges.length) return;
    if (isInList) ranges[0].startContainer.parentElement.scrollIntoView({ block: "nearest" });
    find(`place-${chosen}`).querySelector("mark").scrollIntoView({ block: "nearest" });
  }

  let shown = null; // the answer that is shown

  function render() {
    const panel = find("copies");
    if (!panel || !button()) return;
    const isShown = Boolean(isCurrent() && section()?.dataset.serial === String(serial));
    panel.hidden = !isShown;
    if (button().getAttribute("aria-pressed") !== String(isOn)) {
      button().setAttribute("aria-pressed", String(isOn));
    }
    const answer = isShown ? `${serial} ${section().textContent}` : null;
    if (answer === shown) return;
    shown = answer;
    const found = isShown ? pieces() : [];
    highlight("copied", found.flatMap((piece) => rangesBetween(article(), ...piece)));
    highlight("copied-piece", []);
    if (!isShown) return;
    find("announcements").textContent = section().querySelector("p").textContent;
    if (isPressed) panel.scrollIntoView({ block: "nearest" });
    isPressed = isPressed && !found.length;
  }

  new MutationObserver(render).observe(document.documentElement, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["class", "data-shown", "data-serial", "data-pieces"],
  });

  // A new text is finished.
  function compareAgain() {
    if (isOn && article()) button().click();
  }

  addEventListener("popstate", () => {
    isOn = inAddress();
    render();
  });

  window.charlm = { ...window.charlm, copiedRequest, compareAgain };
})();
