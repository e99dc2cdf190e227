// The slider under the loss curve: it shows what the run wrote at each step, and what its snapshots
// write from the visitor's prompt. The server sends both as data; the address names
// the step and the prompt.
(() => {
  const find = (id) => document.getElementById(id);
  const SEED = /^\d{1,15}$/; // a larger number would be rounded
  const MAX_PROMPT = 200; // characters, as the server allows
  const SECONDS = 0.9; // that a step is shown while all are played

  let run = null; // { run, steps: [{ step, x, facts, kept, html }], marks }
  let shown = null; // the step that is shown; null: the last one, also when more are added
  let own = null; // { run, prompt, seed, dropped, texts: { step: html } } as the visitor asked for
  let waiting = []; // the steps whose texts were requested
  let isAdding = false; // whether the next request is for more steps with the same prompt
  let playing = null; // a timer
  let asked = new URL(location).searchParams; // of the address, until its run is there

  // With a prompt of the visitor's, only the steps that were kept have a text.
  const steps = () => (own ? run.steps.filter((each) => each.kept) : run.steps);
  const indexOf = (step) => steps().findLastIndex((each) => each.step <= step);
  const current = () => {
    const all = steps();
    return shown === null ? all.at(-1) : all[Math.max(0, indexOf(shown))];
  };

  // Shows a step: the text, the loss, and the positions of the slider and the line in the chart.
  function show() {
    const slider = find("snapshot-step");
    const step = run && slider && current();
    find("snapshot-form").inert = !run?.steps.some((each) => each.kept);
    const isFixed = !step || steps().length < 2;
    for (const id of ["snapshot-step", "snapshot-play"]) find(id).disabled = isFixed;
    if (!step) {
      find("sample").innerHTML = '<p class="status">Its samples will appear here.</p>';
      find("snapshot-facts").textContent = "";
      return;
    }
    slider.value = Math.round(1000 * step.x);
    slider.setAttribute("aria-valuetext", `step ${step.step.toLocaleString("en")}`);
    find("run-panel").style.setProperty("--step", step.x);
    find("snapshot-facts").textContent = step.facts;
    find("sample").replaceChildren(heading(step), textOf(step));
    openInPlay(step);
  }

  function heading(step) {
    const heading = document.createElement("h3");
    heading.className = "sample";
    const at = `at step ${step.step.toLocaleString("en")}`;
    const before = own ? "Before it had learned" : "What it wrote before it had learned";
    heading.textContent = step.step === 0 ? before : own ? `Written ${at}` : `What it wrote ${at}`;
    if (!own) return heading;
    const left = own.dropped ? `, without ${own.dropped}, which it does not know` : "";
    heading.append(` from your beginning, seed ${own.seed}${left}. `);
    const back = document.createElement("button");
    back.type = "button";
    back.id = "snapshot-own";
    back.className = "link-button";
    back.textContent = "Show the run’s own samples";
    heading.append(back);
    return heading;
  }

  function textOf(step) {
    const text = document.createElement("div");
    const html = own ? own.texts[step.step] : step.html;
    // the server escapes what a model or a visitor wrote
    const missing = own ? "writing …" : "No sample was taken here.";
    text.innerHTML = html || `<p class="status">${missing}</p>`;
    return text;
  }

  // The link that goes on with a snapshot in Play.
  function openInPlay(step) {
    const link = find("snapshot-open");
    link.hidden = !step.kept;
    const query = { model: `${run.run}#${step.step}`, max_new_chars: 300 };
    const writes = own ? { prompt: own.prompt, seed: own.seed } : { prompt: "" };
    link.href = "?" + new URLSearchParams({ ...query, ...writes });
  }

  function choose(step) {
    shown = step === steps().at(-1).step ? null : step;
    show();
    remember();
  }

  function remember() {
    if (!find("watch")?.offsetParent) return;
    const values = { step: shown === null ? "" : String(shown) };
    values.snapshot_prompt = own?.prompt ?? "";
    values.snapshot_seed = own ? String(own.seed) : "";
    window.charlm.showInAddress(values);
  }

  // The slider snaps to the nearest step, and its keys go from step to step.
  document.addEventListener("input", ({ target }) => {
    if (target.id !== "snapshot-step" || !run) return;
    pause();
    const x = target.value / 1000;
    choose(steps().reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a)).step);
  });
  const MOVES = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };
  Object.assign(MOVES, { PageDown: -3, PageUp: 3, Home: -Infinity, End: Infinity });
  document.addEventListener("keydown", (event) => {
    if (event.target.id !== "snapshot-step" || !(event.key in MOVES) || !run) return;
    event.preventDefault();
    pause();
    move(MOVES[event.key]);
  });

  function move(by) {
    const all = steps();
    const index = all.indexOf(current()) + by;
    choose(all[Math.min(all.length - 1, Math.max(0, index))].step);
  }

  // Plays all steps, from the first one if the last one is shown.
  function play() {
    if (shown === null) choose(steps()[0].step);
    playing = setInterval(() => {
      const next = current();
      move(1);
      if (shown === null || current() === next) pause();
    }, 1000 * SECONDS);
    label();
  }

  function pause() {
    clearInterval(playing);
    playing = null;
    label();
  }

  function label() {
    const button = find("snapshot-play");
    if (button) button.textContent = playing ? "❚❚ Pause" : "▶ Play";
  }

  document.addEventListener("click", ({ target }) => {
    if (target.id === "snapshot-play") playing ? pause() : play();
    if (target.closest("#snapshot-marks button")) {
      pause();
      choose(Number(target.dataset.step));
    }
    if (target.id === "snapshot-own") {
      own = null;
      show();
      remember();
      find("snapshot-step").focus();
    }
  });

  const fieldOf = (id) => document.querySelector(`#${id} :is(input, textarea)`);
  const isOwn = (asked) => ["run", "prompt", "seed"].every((name) => own?.[name] === asked[name]);
  const isMissing = (each) => !(each.step in own.texts);

  // Requests the texts of all steps that have none yet, the step that is shown first.
  function stepsRequest() {
    if (!run) return "{}";
    if (!isAdding) {
      const prompt = fieldOf("snapshot-prompt").value;
      const typed = fieldOf("snapshot-seed").value || "1";
      if (!SEED.test(typed)) return JSON.stringify({ action: "write_steps", seed: typed });
      const seed = Number(typed);
      if (!isOwn({ run: run.run, prompt, seed })) own = { run: run.run, prompt, seed, texts: {} };
    }
    isAdding = false;
    own.earlier = own.texts;
    show();
    remember();
    const at = steps().indexOf(current());
    const distance = (each) => Math.abs(steps().indexOf(each) - at);
    const missing = steps().filter(isMissing).sort((a, b) => distance(a) - distance(b));
    waiting = missing.map((each) => each.step);
    const { prompt, seed } = own;
    return JSON.stringify({ action: "write_steps", run: run.run, prompt, seed, steps: waiting });
  }

  const set = (field, value) => {
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };

  // Shows what the address names, once its run is there.
  function openAddress() {
    if (!asked || (asked.get("run") && asked.get("run") !== run.run)) return;
    const step = /^\d{1,10}$/.exec(asked.get("step") ?? "");
    if (step && run.steps.length) shown = Number(step[0]);
    const [prompt, seed] = [asked.get("snapshot_prompt"), asked.get("snapshot_seed")];
    asked = null;
    const isValid = SEED.test(seed ?? "1") && (prompt ?? "").length <= MAX_PROMPT;
    if ((prompt === null && seed === null) || !isValid) return; // the server says what is wrong
    set(fieldOf("snapshot-prompt"), prompt ?? "");
    set(fieldOf("snapshot-seed"), seed ?? 1);
    setTimeout(() => find("snapshot-write").click()); // after Gradio has read the fields
  }

  let known = ""; // the data as they were shown last
  let written = "";
  new MutationObserver(() => {
    const data = find("snapshot-data")?.querySelector("[data-steps]")?.dataset.steps ?? "";
    const texts = find("snapshot-written")?.querySelector("[data-texts]")?.dataset.texts ?? "";
    if (!find("snapshot-marks") || (data === known && texts === written)) return;
    const isNew = data !== known;
    [known, written] = [data, texts];
    if (isNew) update(data ? JSON.parse(data) : null);
    const answer = texts && JSON.parse(texts);
    if (answer && isOwn(answer)) {
      own = { ...own, dropped: answer.dropped, texts: { ...own.earlier, ...answer.texts } };
    }
    show();
    const isDone = own && !waiting.some((step) => !(step in own.texts));
    if (isNew && isDone && steps().some(isMissing)) {
      isAdding = true; // a snapshot was added
      find("snapshot-write").click();
    }
  }).observe(document.documentElement, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["data-steps", "data-texts"],
  });

  function update(data) {
    if (data?.run !== run?.run && run) {
      pause();
      [shown, own] = [null, null];
    }
    run = data;
    const marks = data?.marks ?? [];
    find("snapshot-marks").replaceChildren(
      ...marks.map((mark) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: mark.label, title: mark.title });
        button.dataset.step = mark.step;
        item.append(button);
        item.style = `left: ${100 * mark.x}%; --row: ${mark.row}`;
        return item;
      }),
    );
    if (data) openAddress();
  }

  window.charlm = { ...window.charlm, stepsRequest };
})();
