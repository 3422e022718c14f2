"use strict";
(() => {
  const root = document.documentElement;
  const find = (name) => document.getElementById(name);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const parsed = (name) => JSON.parse(find(name).textContent);
  const say = (text) => { find("said").textContent = text; };

  // Colours. Those of the page are custom properties, those of figures come with their template.
  const night = matchMedia("(prefers-color-scheme: dark)");
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const templates = parsed("templates");
  const template = () => {
    const chosen = structuredClone(templates[root.dataset.theme]);
    chosen.layout.font.family = getComputedStyle(document.body).fontFamily;
    return chosen;
  };

  // Figures: drawn when they come into view, once plotly.js is unpacked.
  const config = parsed("config");
  const drawn = new Set();
  const unpacked = async () => {
    const packed = find("plotly").textContent;
    const bytes = Uint8Array.fromBase64?.(packed) ?? Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    find("plotly").remove();
    return window.Plotly;
  };
  // The drawing is the image; the buttons above it are no part of it, so that they can be reached and are read.
  const name = (canvas) => {
    const [first, ...others] = all("svg.main-svg", canvas);
    first?.setAttribute("role", "img");
    first?.setAttribute("aria-label", canvas.getAttribute("aria-label"));
    others.forEach((layer) => layer.setAttribute("aria-hidden", "true"));
    canvas.setAttribute("role", "group");
  };
  const draw = (plotly, canvas) => {
    if (drawn.has(canvas)) return;
    const figure = parsed(canvas.dataset.figure);
    drawn.add(canvas);
    canvas.classList.remove("waiting");
    canvas.textContent = "";
    const layout = { ...figure.layout, template: template(), autosize: true };
    try {
      plotly.newPlot(canvas, figure.data, layout, config);
      name(canvas);
    } catch (error) { // one figure that fails takes no other with it
      canvas.textContent = "This figure cannot be drawn here; the words below it say the same.";
      drawn.delete(canvas);
      console.error(error);
    }
  };
  const recolour = (plotly) => {
    for (const canvas of drawn) plotly.relayout(canvas, { template: template() });
  };
  const canvases = all(".canvas[data-figure]");
  for (const canvas of canvases) {
    canvas.classList.add("waiting");
    canvas.textContent = "Drawing …";
  }
  const missing = () => {
    for (const canvas of canvases) {
      canvas.textContent = "This browser cannot unpack the figures; Chrome 80, Firefox 113 and Safari 16.4 or newer can. " +
        "The words and numbers below each figure say the same.";
    }
  };
  const ready = !find("plotly") ? Promise.resolve(null)
    : "DecompressionStream" in window ? unpacked() : Promise.reject(new Error("no DecompressionStream"));
  ready.then((plotly) => {
    if (!plotly) return;
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        watcher.unobserve(entry.target);
        draw(plotly, entry.target);
      }
    }, { rootMargin: "200px" });
    canvases.forEach((canvas) => watcher.observe(canvas));
    window.addEventListener("beforeprint", () => print(plotly));
    window.addEventListener("afterprint", () => restored(plotly));
  }).catch(missing);

  // The theme: the system's until the reader says otherwise.
  const toggle = find("theme");
  const setTheme = (dark) => {
    root.dataset.theme = dark ? "dark" : "light";
    toggle.setAttribute("aria-pressed", String(dark));
    ready.then((plotly) => plotly && recolour(plotly), () => {});
    window.dispatchEvent(new CustomEvent("autodl:theme", { detail: { dark } }));
  };
  setTheme(night.matches);
  toggle.hidden = false;
  toggle.addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));
  night.addEventListener("change", (event) => setTheme(event.matches));

  // Print: whatever is in view, drawn, light, as wide as the paper; what needs more room is drawn smaller.
  const PAPER = 680;
  let before = null;
  const print = (plotly) => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    for (const canvas of canvases) if (!canvas.closest("[hidden]")) draw(plotly, canvas);
    for (const canvas of drawn) {
      const width = Math.max(PAPER, parseInt(getComputedStyle(canvas).minWidth, 10) || 0);
      canvas.style.zoom = PAPER / width;
      plotly.relayout(canvas, { template: template(), width });
    }
  };
  const restored = (plotly) => {
    root.dataset.theme = before;
    for (const canvas of drawn) {
      canvas.style.zoom = "";
      plotly.relayout(canvas, { template: template(), width: null, autosize: true });
    }
  };

  // One of many.
  for (const select of all(".select select")) {
    const options = all(`.option[data-of="${select.id}"]`);
    const show = () => {
      options.forEach((option, at) => { option.hidden = at !== Number(select.value); });
      say(`${select.labels[0].textContent}: ${select.selectedOptions[0].textContent}`);
      window.dispatchEvent(new Event("resize")); // a figure that was drawn at another width fits itself again
    };
    select.addEventListener("change", show);
  }

  // Tables that sort: by number where there is one, what is unknown last, equal rows as they were.
  const texts = new Intl.Collator(undefined, { numeric: true });
  const key = (row, at) => {
    const cell = row.cells[at];
    if (!("value" in cell.dataset)) return cell.textContent.trim();
    return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
  };
  const order = (a, b, sign) => {
    const unknown = [a, b].map((value) => value === "" || Number.isNaN(value));
    if (unknown[0] || unknown[1]) return unknown[0] - unknown[1];
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : texts.compare(a, b));
  };
  for (const table of all("table.sortable")) {
    const headings = all("thead th", table);
    headings.forEach((heading, at) => heading.firstElementChild.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => order(key(a, at), key(b, at), rising ? 1 : -1));
      body.append(...rows);
      say(`Sorted by ${heading.textContent}, ${rising ? "ascending" : "descending"}`);
    }));
  }

  // Words: what each brings, under the mouse, or reached by Tab (the strongest) and then by arrow keys.
  for (const box of all(".words")) {
    const marks = all("mark", box);
    const worth = box.parentElement.querySelector(".worth");
    const size = (mark) => Number(mark.style.getPropertyValue("--s"));
    const tell = (mark) => { worth.textContent = mark ? `${mark.textContent.trim()}: ${mark.title}` : ""; };
    const reach = (mark) => marks.forEach((each) => { each.tabIndex = each === mark ? 0 : -1; });
    if (!marks.length) continue;
    reach(marks.reduce((best, each) => (size(each) > size(best) ? each : best)));
    box.addEventListener("mouseover", (event) => tell(event.target.closest("mark") ?? box.querySelector(":focus")));
    box.addEventListener("mouseleave", () => tell(box.querySelector(":focus")));
    box.addEventListener("focusin", (event) => { reach(event.target); tell(event.target); });
    box.addEventListener("focusout", () => tell(null));
    box.addEventListener("keydown", (event) => {
      const at = marks.indexOf(event.target);
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: marks.length - 1 }[event.key];
      if (at < 0 || !marks[next]) return;
      event.preventDefault();
      marks[next].focus();
    });
  }

  // Sounds: a line runs along the figure while its sound plays; a press on the figure goes there.
  for (const sound of all("figure audio")) {
    const canvas = sound.closest("figure").querySelector(".canvas");
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    cursor.hidden = true;
    canvas.parentElement.append(cursor);
    const move = () => {
      const layout = canvas._fullLayout; // where the axes lie; Plotly says it nowhere else
      if (!layout) return;
      const { xaxis, _size: size } = layout;
      const along = xaxis.d2p(sound.currentTime);
      cursor.hidden = along < 0 || along > size.w;
      Object.assign(cursor.style, { left: `${size.l + along}px`, top: `${size.t}px`, height: `${size.h}px` });
      if (!sound.paused) requestAnimationFrame(move);
    };
    for (const name of ["play", "seeked"]) sound.addEventListener(name, move);
    canvas.addEventListener("click", (event) => {
      const layout = canvas._fullLayout;
      const along = layout ? event.clientX - canvas.getBoundingClientRect().left - layout._size.l : -1;
      if (layout && along >= 0 && along <= layout._size.w) sound.currentTime = Math.max(0, layout.xaxis.p2d(along));
    });
  }

  // Where the reader is.
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const here = new IntersectionObserver(() => {
    const sections = all("main > section");
    const current = sections.findLast((each) => each.getBoundingClientRect().top < innerHeight * 0.35) ?? sections[0];
    for (const [name, link] of links) {
      if (name === current?.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { threshold: [0, 0.1, 0.25, 0.5, 1] });
  all("main > section").forEach((section) => here.observe(section));

  window.autodl = { ready, say, colour };
})();
