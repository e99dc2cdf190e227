// What Gradio's markup lacks for keyboards and screen readers, added whenever Gradio renders.
(() => {
  const titleOf = (block) =>
    block.querySelector('[data-testid="block-info"]')?.textContent.trim() ?? "";

  function set(element, name, value) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }

  function complete() {
    // Each of Gradio's radios has a name of its own, renewed with every change: Tab would stop at
    // each, and the arrow keys would not move between them.
    for (const group of document.querySelectorAll("fieldset.block")) {
      set(group, "role", "radiogroup");
      set(group, "aria-label", titleOf(group));
      for (const radio of group.querySelectorAll("input[type=radio]")) {
        set(radio, "name", titleOf(group));
      }
    }
    for (const button of document.querySelectorAll("button.label-wrap")) {
      set(button, "aria-expanded", String(button.classList.contains("open")));
    }
    for (const tab of document.querySelectorAll("[role=tab]")) {
      const panel = document.getElementById(tab.getAttribute("aria-controls"));
      if (panel) set(panel, "aria-label", tab.textContent.trim());
    }
    // each slider has one of these, and all are called the same
    for (const button of document.querySelectorAll(".reset-button")) {
      set(button, "aria-label", `Reset ${titleOf(button.closest(".block"))}`);
    }
  }

  // Chromium leaves a button half visible that Tab reaches at the edge of a row that scrolls.
  document.addEventListener("focusin", ({ target }) => {
    if (!target.matches("button:focus-visible")) return;
    target.scrollIntoView({ block: "nearest", inline: "nearest" });
  });

  // Gradio shows its messages by animations of Svelte's, out of reach of a style sheet.
  const animate = Element.prototype.animate;
  Element.prototype.animate = function (...args) {
    const animation = animate.apply(this, args);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) animation.finish();
    return animation;
  };

  new MutationObserver(complete).observe(document.documentElement, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["class", "name", "aria-controls", "aria-label"],
  });
})();
