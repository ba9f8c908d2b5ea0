"use strict";
// Tables of examples from the data islands, and what marks of the figures say. All text is set as text.

const PAGE = 50;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function choice(label, options, onChange) {
  const box = element("label", "", label);
  const select = element("select");
  for (const [value, text] of options) {
    const option = element("option", "", text);
    option.value = value;
    select.append(option);
  }
  select.addEventListener("change", () => onChange(select.value));
  box.append(select);
  return box;
}

function exampleTable(section, data) {
  const systems = Object.keys(data.variants);
  const state = { system: systems[0], text: "", chosen: {}, sort: null, down: false, shown: PAGE };
  const before = data.columns.findIndex((column) => column.name === "answer before");

  function rows() {
    const own = data.variants[state.system];
    if (!own) return data.rows;
    // An answer that stays the same is stored once.
    return data.rows.map((row, i) => [...row, own[i][0], own[i][1] === null ? row[before] : own[i][1], ...own[i].slice(2)]);
  }

  function found() {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const texts = data.columns.flatMap((column, i) => (column.kind === "text" ? [i] : []));
    const kept = rows().filter(
      (row) =>
        Object.entries(state.chosen).every(([i, value]) => row[i] === value) &&
        words.every((word) => texts.some((i) => String(row[i]).toLowerCase().includes(word))),
    );
    if (state.sort === null) return kept;
    const i = state.sort;
    const sign = state.down ? -1 : 1;
    const isNumber = data.columns[i].kind === "number";
    return kept.sort((a, b) => {
      if (a[i] === null || b[i] === null) return (a[i] === null) - (b[i] === null); // unknown last, either way
      return sign * (isNumber ? a[i] - b[i] : a[i].localeCompare(b[i]));
    });
  }

  const controls = element("div", "controls");
  const search = element("input");
  search.type = "search";
  search.addEventListener("input", () => change({ text: search.value }));
  const searchLabel = element("label", "", "find");
  searchLabel.append(search);
  controls.append(searchLabel);
  if (systems.length > 1) {
    controls.append(choice("system", systems.map((name) => [name, name]), (value) => change({ system: value })));
  }
  data.columns.forEach((column, i) => {
    if (column.kind !== "choice") return;
    const values = new Set(data.rows.map((row) => row[i]));
    if (values.has(undefined)) {
      values.delete(undefined);
      for (const own of Object.values(data.variants)) for (const row of own) values.add(row[i - data.rows[0].length]);
    }
    if (values.size < 2) return;
    const options = [...values].sort().map((value) => [value, value === "" ? "none" : value]);
    controls.append(
      choice(column.name, [["\0", "all"], ...options], (value) => {
        const chosen = { ...state.chosen };
        if (value === "\0") delete chosen[i];
        else chosen[i] = value;
        change({ chosen });
      }),
    );
  });

  const table = element("table");
  const head = element("tr");
  const shownColumns = data.columns.map((column, i) => [column, i]).filter(([column]) => !column.is_hidden);
  shownColumns.forEach(([column, i]) => {
    const th = element("th", column.kind);
    th.scope = "col";
    const button = element("button", "", column.name);
    button.type = "button";
    button.addEventListener("click", () => {
      change({ sort: i, down: state.sort === i ? !state.down : false });
    });
    th.append(button);
    head.append(th);
  });
  const thead = element("thead");
  thead.append(head);
  const body = element("tbody");
  table.append(thead, body);
  const scroll = element("div", "scroll");
  scroll.tabIndex = 0;
  scroll.append(table);
  const count = element("p", "count");
  count.setAttribute("role", "status");
  section.append(controls, scroll, count);

  function cell(value, column, row) {
    if (column.kind === "number") return element("td", "number", value === null ? "–" : value.toFixed(column.digits));
    const td = element("td", column.kind === "text" && column.name === "question" ? "text question" : column.kind);
    if (["right", "wrong", "refused", "over-refused"].includes(value) && column.kind === "choice") {
      td.append(element("span", "way " + value, value));
    } else {
      td.textContent = value;
      if (column.name === "answer after" && value === row[before]) td.classList.add("same");
    }
    return td;
  }

  function draw() {
    const kept = found();
    head.childNodes.forEach((th, place) => {
      if (state.sort === shownColumns[place][1]) th.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    });
    body.replaceChildren(
      ...kept.slice(0, state.shown).map((row) => {
        const tr = element("tr");
        for (const [column, i] of shownColumns) {
          const td = cell(row[i], column, row);
          td.dataset.name = column.name; // shown where columns stand below each other
          tr.append(td);
        }
        return tr;
      }),
    );
    const shown = Math.min(state.shown, kept.length);
    count.textContent = `${shown.toLocaleString("en")} of ${kept.length.toLocaleString("en")} questions`;
    if (kept.length > shown) {
      const more = element("button", "", "show more");
      more.type = "button";
      more.addEventListener("click", () => change({ shown: state.shown + 4 * PAGE }));
      count.append(more);
    }
  }

  function change(changes) {
    Object.assign(state, { shown: PAGE }, changes);
    draw();
  }

  draw();
}

for (const island of document.querySelectorAll("script[type='application/json']")) {
  const data = JSON.parse(island.textContent);
  exampleTable(document.getElementById(data.id), data);
}

const tip = document.getElementById("tip");

function showTip(event) {
  const mark = event.target instanceof Element && event.target.closest(".picture .role-mark [aria-label]");
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.getAttribute("aria-label");
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = Math.max(8, Math.min(event.pageX + 12, room + window.scrollX)) + "px";
  tip.style.top = event.pageY + 16 + "px";
}

document.addEventListener("pointermove", showTip);
document.addEventListener("pointerdown", showTip);
