// Sets the theme before anything is painted, and shows the page in place of its frame when it is
// complete. Runs in the document's head.
(() => {
  const asked = new URLSearchParams(location.search);
  const prefersDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = asked.get("__theme"); // as Gradio reads it
  const isDark = theme === "dark" || (theme !== "light" && prefersDark);
  const root = document.documentElement;
  new MutationObserver((_, observer) => {
    if (!document.body) return;
    observer.disconnect();
    document.body.classList.toggle("dark", isDark);
  }).observe(root, { childList: true });

  // Gradio's "Loading..." counts seconds in every frame, even after it has been removed: an open
  // page would draw frames as long as it lives. Hidden behind ours, it need not count.
  const requestFrame = window.requestAnimationFrame;
  const isCounter = () => new Error().stack.includes("/statustracker");
  window.requestAnimationFrame = (callback) => (isCounter() ? 0 : requestFrame(callback));

  const RUN = "#watch:has(#run-head .run):has(#curve .plot):has(#sample p)";
  const PARTS = {
    play: ["#settings", "#copy"],
    watch: [`${RUN}, #run-head .prose > p`],
    inside: ["#inside-shown section, #inside-shown .notice"],
    guess: ["#guess-game"],
  };
  if (asked.has("compare")) PARTS.play = ["#compared h3, gradio-app .notice"];
  const parts = PARTS[root.dataset.embed ?? asked.get("tab")] ?? PARTS.play;
  const FAILED = "gradio-app .error"; // Gradio says why
  const SECONDS = 20; // after which the page is shown as it is
  const showPage = () => {
    document.getElementById("first-frame")?.remove();
    window.requestAnimationFrame = requestFrame;
  };
  new MutationObserver((_, observer) => {
    const isComplete = parts.every((part) => {
      const element = document.querySelector(part);
      return element && (element.offsetParent || getComputedStyle(element).display === "none");
    });
    if (!isComplete && !document.querySelector(FAILED)) return;
    observer.disconnect();
    showPage();
  }).observe(root, { childList: true, subtree: true, attributeFilter: ["class", "style"] });
  setTimeout(showPage, 1000 * SECONDS);
})();
