// What the page does by itself, without asking the server.
(() => {
  const find = (id) => document.getElementById(id);
  const narrow = () => window.matchMedia("(max-width: 768px)").matches;

  // Ctrl+Enter (or Cmd+Enter) writes, wherever on the page the hands are.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    const write = find("generate");
    if (write && write.offsetParent) {
      event.preventDefault();
      write.click();
    }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.id === "copy") copyVerse(button);
    // seen at once, and also where the server answers no more
    if (button.id === "stop-generating") find("text").querySelector(".writing")?.classList.remove("writing");
    // on a phone the verse is below the controls: bring it into view when it begins
    const writes = button.id === "generate" || button.closest("#examples");
    if (writes && narrow()) find("output").scrollIntoView({ behavior: "smooth" });
  });

  // A link to a generation is for sending; where it cannot be copied, it opens like any other.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("#link");
    if (!link || !navigator.clipboard || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    navigator.clipboard.writeText(link.href).then(
      () => (link.textContent = "link copied"),
      () => (location.href = link.href),
    );
  });

  // The address says which tab is open, so that a reload, or a link, opens it again.
  document.addEventListener("click", (event) => {
    const tab = event.target.closest('button[role="tab"]');
    if (!tab) return;
    const address = new URL(location);
    if (tab.textContent.trim() === "Watch") address.searchParams.set("tab", "watch");
    else address.searchParams.delete("tab");
    history.replaceState(history.state, "", address);
  });

  async function copyVerse(button) {
    const lines = [...find("text").querySelectorAll("p")].map((p) => p.textContent);
    let told = "Copied";
    try {
      await navigator.clipboard.writeText(lines.join("\n"));
    } catch {
      // no clipboard on plain http from another machine, or not allowed: select it instead
      window.getSelection().selectAllChildren(find("text"));
      told = "Selected: now Ctrl+C";
    }
    button.textContent = told;
    setTimeout(() => (button.textContent = "Copy"), 2000);
  }
})();
