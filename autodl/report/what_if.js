// The what-if panel: controls that change a row, and the answer beside them. All words of the data go in as text.
(() => {
  "use strict";
  const SHOWN = 12; // controls in view at first
  const BARS = 10; // outputs in view
  const WORST = 1e-4; // of an answer: by more, this page's arithmetic must not differ from PyTorch's
  const SVG = "http://www.w3.org/2000/svg";
  let count = window.autodlPanels ?? 0;

  const set = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };
  const el = (tag, attributes = {}, ...children) => set(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) => set(document.createElementNS(SVG, tag), attributes, children);
  const cut = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1).trimEnd()}…`);

  const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
  const plain = (x) => digits.format(x).replace("-", "−");
  const signed = (x) => (x > 0 ? `+${plain(x)}` : plain(x));
  const percent = (x) => {
    const points = 100 * x;
    return `${points > 0.1 && points < 99.9 ? points.toFixed(1) : Number(points.toPrecision(points < 1 ? 2 : 5))} %`;
  };

  // What answers: the network itself, or answers that were worked out beforehand.
  const answerer = (data) => {
    if (data.tape) {
      const run = window.autodlTape.compile(data.tape);
      const { unpack } = window.autodlTape;
      const bases = Object.fromEntries(Object.entries(data.bases).map(([name, rows]) => [name, rows.map(unpack)]));
      const features = data.features.map((inputs) => Object.entries(inputs).map(([name, [at, packed]]) => [name, at, unpack(packed)]));
      return (row, positions) => {
        const inputs = Object.fromEntries(Object.entries(bases).map(([name, rows]) => [name, rows[row].slice()]));
        features.forEach((each, control) => each.forEach(([name, at, values]) => {
          at.forEach((entry, i) => { inputs[name][entry] = values[positions[control] * at.length + i]; });
        }));
        const out = run(inputs, row);
        return data.picks.map((target) => out[target]);
      };
    }
    const curves = data.curves.map(window.autodlTape.unpack);
    const starts = [];
    data.controls.reduce((sum, each, i) => { starts[i] = sum; return sum + each.labels.length; }, 0);
    return (row, positions) => {
      const { current, answer } = data.rows[row];
      const control = positions.findIndex((position, i) => position !== current[i]);
      if (control < 0) return answer;
      const from = (starts[control] + positions[control]) * data.outputs.length;
      return [...curves[row].slice(from, from + data.outputs.length)];
    };
  };

  const checked = (data, answer) => {
    const known = data.rows.map((each, row) => ({ row, positions: each.current, answer: each.answer }));
    return Math.max(0, ...[...known, ...data.probes].map((probe) => {
      const mine = answer(probe.row, probe.positions);
      const size = Math.max(...probe.answer.map(Math.abs), 1e-6);
      return Math.max(...probe.answer.map((value, i) => Math.abs(mine[i] - value) / size));
    }));
  };

  class Panel {
    constructor(root, data) {
      this.id = `what-if-${(count += 1)}`;
      Object.assign(this, { root, data, row: 0, active: 0, output: data.focus, curves: new Map() });
      this.positions = [...data.rows[0].current];
      this.shows = data.quantity === "probability" ? percent : plain;
      this.answer = answerer(data);
      this.gap = data.tape ? checked(data, this.answer) : 0;
      if (!(this.gap <= WORST)) {
        root.replaceChildren(el("p", { role: "alert" },
          "This browser works the network out otherwise than PyTorch did, so that nothing can be changed here."));
        return;
      }
      root.replaceChildren(this.head(), el("div", { class: "wi-grid" }, this.result(), this.list()), this.notes());
      new ResizeObserver(() => this.draw()).observe(this.chart);
      this.update();
    }

    get own() { return this.data.rows[this.row]; }
    get moved() { return this.positions.map((p, i) => (p === this.own.current[i] ? -1 : i)).filter((i) => i >= 0); }

    // Parts of the panel.
    head() {
      const names = this.data.rows.map((each, i) => el("option", { value: i }, `row ${each.name}`));
      this.rowSelect = el("select", { id: `${this.id}-row`, autocomplete: "off", onchange: () => this.choose(Number(this.rowSelect.value)) }, ...names);
      this.resetButton = el("button", { type: "button", class: "wi-reset", onclick: () => this.choose(this.row) }, "Reset the row");
      return el("div", { class: "wi-head" },
        el("label", { for: this.rowSelect.id }, "Change"), this.rowSelect, this.resetButton);
    }

    result() {
      this.says = el("p", { class: "wi-says", role: "status", "aria-live": "polite", "aria-atomic": "true" });
      this.bars = el("ul", { class: "wi-bars" });
      this.chart = el("div", { class: "wi-chart" });
      this.caption = el("figcaption");
      this.outputSelect = el("select", { id: `${this.id}-output`, autocomplete: "off", onchange: () => { this.output = Number(this.outputSelect.value); this.update(); } },
        ...this.data.outputs.map((name, i) => el("option", { value: i, selected: i === this.output }, cut(name, 60))));
      const choice = el("div", { class: "wi-pick", hidden: this.data.outputs.length < 2 },
        el("label", { for: this.outputSelect.id }, "Look at"), this.outputSelect);
      return el("section", { class: "wi-result", "aria-label": "The answer" }, choice, this.says, this.bars,
        el("figure", { class: "wi-figure" }, this.chart, this.caption));
    }

    list() {
      this.controls = this.data.controls.map((control, at) => this.control(control, at));
      const section = el("section", { class: "wi-controls", "aria-label": "Columns" });
      const more = this.controls.slice(SHOWN);
      section.append(...this.controls.map((each) => each.node));
      if (more.length) {
        more.forEach((each) => { each.node.hidden = true; });
        const find = el("input", { type: "search", id: `${this.id}-find`, autocomplete: "off", oninput: () => show() });
        const all = el("button", { type: "button", "aria-expanded": "false", onclick: () => { open = !open; show(); } });
        let open = false;
        const show = () => {
          const wanted = find.value.trim().toLowerCase();
          this.controls.forEach(({ node }, i) => {
            node.hidden = wanted ? !this.data.controls[i].column.toLowerCase().includes(wanted) : !open && i >= SHOWN;
          });
          all.hidden = Boolean(wanted);
          all.setAttribute("aria-expanded", String(open));
          all.textContent = open ? "Show fewer columns" : `Show all ${this.controls.length} columns`;
        };
        section.prepend(el("div", { class: "wi-find" }, el("label", { for: find.id }, "Find a column"), find));
        section.append(all);
        show();
      }
      return section;
    }

    control(control, at) {
      const id = `${this.id}-${at}`;
      const known = control.labels.length - (control.missing === null ? 0 : 1);
      const was = el("span", { class: "wi-was" });
      const back = el("button", { type: "button", class: "wi-back", "aria-label": `Reset ${control.column}`, title: "Reset", onclick: () => this.move(at, this.own.current[at]) }, "↺");
      const node = el("div", { class: "wi-control", onfocusin: () => this.look(at), onpointerdown: () => this.look(at) },
        el("div", { class: "wi-name" }, el("label", { for: id }, control.column), was, back));
      if (!control.numbers.length) {
        const select = el("select", { id, autocomplete: "off", onchange: () => this.move(at, Number(select.value)) },
          ...control.labels.map((label, i) => el("option", { value: i }, cut(label, 80))));
        node.append(select);
        return { node, was, back, show: (position) => { select.value = position; } };
      }
      const slider = el("input", { type: "range", id, min: 0, max: known - 1, step: 1, autocomplete: "off", oninput: () => this.move(at, Number(slider.value)) });
      const mark = el("span", { class: "wi-mark", "aria-hidden": "true" });
      const line = el("div", { class: "wi-line" }, el("span", { class: "wi-track" }, slider, mark));
      const field = control.kind === "number"
        ? el("input", { type: "number", step: "any", autocomplete: "off", "aria-label": `${control.column} as a number`, onchange: () => this.move(at, this.nearest(control, field.value)) })
        : el("output", { for: id });
      line.append(field);
      node.append(line);
      let gone = null;
      if (control.missing !== null) {
        gone = el("input", { type: "checkbox", autocomplete: "off", onchange: () => this.move(at, gone.checked ? control.missing : Number(slider.value)) });
        node.append(el("label", { class: "wi-missing" }, gone, "missing"));
      }
      const show = (position) => {
        const missing = position === control.missing;
        if (gone) gone.checked = missing;
        slider.disabled = field.disabled = missing;
        if (!missing) slider.value = position;
        slider.setAttribute("aria-valuetext", control.labels[position]);
        if (field.tagName === "INPUT") field.value = missing ? "" : Number.isFinite(Number(control.labels[position])) ? control.labels[position] : control.numbers[position];
        else field.textContent = control.labels[position];
        const own = this.own.current[at];
        mark.hidden = own === control.missing || own === position;
        mark.style.setProperty("--at", known > 1 ? own / (known - 1) : 0);
      };
      return { node, was, back, show };
    }

    notes() {
      const { data, gap } = this;
      const live = data.tape
        ? `The network itself answers: its ${plain(window.autodlTape.weights(data.tape))} numbers are in this page. When the page opened it ` +
          `was checked against PyTorch on ${data.rows.length + data.probes.length} rows; the largest difference was ${gap.toExponential(0).replace("-", "−")} of the answer.`
        : `Only one column at a time can be changed, because ${data.reason}; the page holds answers that were worked out beforehand.`;
      return el("p", { class: "wi-note" }, live,
        " A slider goes over values that rows really had; together they may make a row that no data resembles. The answer is what the model would say, not what would come about if somebody changed the world.");
    }

    // What a reader does.
    choose(row) {
      this.row = row;
      this.positions = [...this.own.current];
      this.update();
    }

    look(at) {
      if (this.active === at) return;
      this.active = at;
      this.draw();
      this.mark();
    }

    nearest(control, text) {
      const wanted = Number(text);
      if (text === "" || Number.isNaN(wanted)) return control.missing ?? this.positions[this.data.controls.indexOf(control)];
      const away = control.numbers.map((number) => (number === null ? Infinity : Math.abs(number - wanted)));
      return away.indexOf(Math.min(...away));
    }

    move(at, position) {
      if (!this.data.tape) this.positions = [...this.own.current];
      this.positions[at] = position;
      this.active = at;
      this.update();
    }

    // What is shown.
    update() {
      const now = this.answer(this.row, this.positions);
      this.controls.forEach(({ node, was, back, show }, at) => {
        const own = this.own.current[at], other = this.positions[at] !== own;
        show(this.positions[at]);
        was.textContent = other ? `was ${cut(this.data.controls[at].labels[own], 24)}` : "";
        back.hidden = !other;
        node.classList.toggle("wi-changed", other);
      });
      this.resetButton.disabled = !this.moved.length;
      this.say(now);
      this.drawBars(now);
      this.draw();
      this.mark();
    }

    mark() {
      this.controls.forEach(({ node }, at) => node.classList.toggle("wi-active", at === this.active));
    }

    name(output) {
      const { target, outputs } = this.data, name = outputs[output];
      return !target || name === target ? name : `${target} = ${name}`;
    }

    say(now) {
      const [before, after] = [this.own.answer[this.output], now[this.output]];
      const name = this.data.quantity === "number" && this.data.outputs.length === 1 ? this.data.target || this.data.outputs[0] : this.name(this.output);
      const truth = this.own.truth ? `, really ${this.own.truth}` : "";
      const change = this.data.quantity === "probability" ? `${signed(Number((100 * (after - before)).toFixed(1)) + 0)} points` : signed(after - before);
      const was = this.moved.length ? `was ${this.shows(before)}, ${change}` : `as the row is${truth}`;
      this.says.replaceChildren(el("span", { class: "wi-what" }, cut(name, 90)), " ", el("strong", {}, this.shows(after)), " ", el("span", { class: "wi-before" }, was));
    }

    drawBars(now) {
      const { spans, outputs } = this.data, before = this.own.answer;
      this.bars.hidden = false;
      const order = outputs.map((_, i) => i);
      if (outputs.length > BARS) order.sort((a, b) => Math.max(now[b], before[b]) - Math.max(now[a], before[a]));
      const share = (value, i) => Math.min(1, Math.max(0, (value - spans[i][0]) / (spans[i][1] - spans[i][0] || 1)));
      this.bars.replaceChildren(...order.slice(0, BARS).map((i) => el("li", { class: i === this.output ? "wi-bar wi-chosen" : "wi-bar" },
        el("span", { class: "wi-label" }, cut(outputs[i], 40)), el("span", { class: "wi-value" }, this.shows(now[i])),
        el("span", { class: "wi-rail", style: `--now:${share(now[i], i)};--before:${share(before[i], i)}`, "aria-hidden": "true" }))));
      if (outputs.length > BARS) this.bars.append(el("li", { class: "wi-rest" }, `and ${outputs.length - BARS} less likely`));
    }

    // Of a column that is being changed, the curve stays as it is: it is worked out once.
    curve(positions) {
      const others = positions.map((position, i) => (i === this.active ? "" : position));
      const key = [this.row, this.active, ...others].join();
      if (!this.curves.has(key)) {
        if (this.curves.size > 50) this.curves.clear();
        this.curves.set(key, this.data.controls[this.active].labels.map((_, i) => {
          const at = [...positions];
          at[this.active] = i;
          return this.answer(this.row, at);
        }));
      }
      return this.curves.get(key).map((answer) => answer[this.output]);
    }

    draw() {
      const control = this.data.controls[this.active], width = Math.max(this.chart.clientWidth, 240);
      const base = this.data.tape ? this.positions : this.own.current;
      const now = this.curve(base);
      const others = this.data.tape && this.moved.some((i) => i !== this.active);
      const first = others ? this.curve(this.own.current) : null;
      const own = this.own.current[this.active], at = this.positions[this.active];
      const said = `${cut(this.name(this.output), 60)} for each value of ${cut(control.column, 40)}: lowest ${this.shows(Math.min(...now))}, highest ${this.shows(Math.max(...now))}`;
      const picture = control.numbers.length ? this.line(control, width, { now, first, own, at }) : this.lollipops(control, width, { now, first, own, at });
      set(picture, { role: "img", "aria-label": said, width: "100%" }, []);
      this.chart.replaceChildren(picture);
      this.caption.textContent = `${cut(this.name(this.output), 60)}, as ${cut(control.column, 40)} alone changes${others ? "; dashed: had nothing else been changed" : ""}. Orange: as the row was.`;
    }

    scale(values, from, to) {
      let [low, high] = this.data.spans[this.output];
      low = Math.min(low, ...values);
      high = Math.max(high, ...values);
      const size = high - low || 1;
      return { low, high, at: (value) => from + ((value - low) / size) * (to - from) };
    }

    line(control, width, { now, first, own, at }) {
      const height = 190, left = 52, right = width - 14, bottom = height - 30;
      const lost = control.missing !== null;
      const y = this.scale([...now, ...(first ?? [])], bottom, 12);
      const known = control.numbers.filter((number) => number !== null);
      const [low, high] = [known[0], known[known.length - 1]];
      const end = lost ? right - 58 : right;
      const x = (i) => (i === control.missing ? right - 22 : left + ((control.numbers[i] - low) / (high - low || 1)) * (end - left));
      const path = (values) => known.map((_, i) => `${i ? "L" : "M"}${x(i).toFixed(1)},${y.at(values[i]).toFixed(1)}`).join("");
      const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "wi-svg" });
      for (const value of [y.low, (y.low + y.high) / 2, y.high]) {
        picture.append(svg("line", { x1: left, x2: right, y1: y.at(value), y2: y.at(value), class: "wi-gridline" }),
          svg("text", { x: left - 8, y: y.at(value) + 4, "text-anchor": "end" }, this.data.quantity === "probability" ? `${Math.round(100 * value)} %` : plain(Number(value.toPrecision(3)))));
      }
      known.forEach((_, i) => picture.append(svg("line", { x1: x(i), x2: x(i), y1: bottom, y2: bottom + 5, class: "wi-rug" })));
      const [start, finish] = [0, known.length - 1].map((i) => control.labels[i]);
      picture.append(svg("text", { x: left, y: height - 8 }, cut(start, 18)), svg("text", { x: end, y: height - 8, "text-anchor": "end" }, cut(finish, 18)));
      if (first) picture.append(svg("path", { d: path(first), class: "wi-first" }));
      picture.append(svg("path", { d: path(now), class: "wi-now" }));
      if (lost) picture.append(svg("text", { x: right - 22, y: height - 8, "text-anchor": "middle" }, "missing"), this.dot(x(control.missing), y.at(now[control.missing]), "wi-dot", 3));
      picture.append(this.dot(x(own), y.at((first ?? now)[own]), "wi-own", 6), this.dot(x(at), y.at(now[at]), "wi-at", 6));
      return picture;
    }

    lollipops(control, width, { now, first, own, at }) {
      const line = 24, height = control.labels.length * line + 6, label = Math.min(150, width * 0.38), right = width - 62;
      const x = this.scale([...now, ...(first ?? [])], label + 10, right);
      const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "wi-svg" });
      now.forEach((value, i) => {
        const y = i * line + line / 2 + 3;
        picture.append(svg("text", { x: label, y: y + 4, "text-anchor": "end", class: i === at ? "wi-strong" : "" }, cut(control.labels[i], Math.floor(label / 7.2))),
          svg("line", { x1: x.at(x.low), x2: right, y1: y, y2: y, class: "wi-gridline" }),
          svg("line", { x1: x.at(x.low), x2: x.at(value), y1: y, y2: y, class: "wi-stick" }));
        if (first) picture.append(svg("line", { x1: x.at(first[i]), x2: x.at(first[i]), y1: y - 6, y2: y + 6, class: "wi-first" }));
        picture.append(this.dot(x.at(value), y, i === at ? "wi-at" : "wi-dot", i === at ? 6 : 4));
        if (i === own) picture.append(this.dot(x.at((first ?? now)[i]), y, "wi-own", 8));
        picture.append(svg("text", { x: width - 4, y: y + 4, "text-anchor": "end", class: i === at ? "wi-strong" : "" }, this.shows(value)));
      });
      return picture;
    }

    dot(x, y, kind, r) { return svg("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r, class: kind }); }
  }

  for (const root of document.querySelectorAll(".what-if:not([data-ready])")) {
    root.dataset.ready = "";
    const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    root.panel = new Panel(root, data);
  }
  window.autodlPanels = count;
})();
