import { $, block, copy, figure, make, meter, oneLine, switchTheme, visible } from "./dom.js";
import { data } from "./data.js";
import { diff } from "./diff.js";

// The table of a report's rows: found, sorted, opened.
const PER_PAGE = 50;
const START = { text: "", show: "every", flag: "", of: "reward", low: null, high: null, sort: "reward", down: false };
const at = { ...START, column: "", page: 0, open: null };
const rows = data.rows;
let found = [];

// A text that was cut is no JSON any more, and is shown as it is.
function parsed(text) { try { return JSON.parse(text); } catch { return null; } }
const shownField = value => typeof value === "string" ? value : JSON.stringify(value, null, 2);
const fieldsOf = (value, text) => value === null ? text : Object.entries(value).map(([key, inner]) => key + ": " + shownField(inner)).join("\n");

for (const row of rows) {
  row.fields = parsed(row.item);
  row.itemText = fieldsOf(row.fields, row.item);
  row.words = [row.id, row.output, row.reference, row.itemText, row.errors.join(" ")].join("\n").toLowerCase();
}

const COLUMNS_MAX = 40;
const names = new Set();
for (const row of rows.slice(0, 500)) for (const name of Object.keys(row.fields ?? {})) if (names.size < COLUMNS_MAX) names.add(name);
for (const name of names) $("column").append(make("option", { value: name }, "column: " + visible(name.slice(0, 40))));
$("column").hidden = !names.size;

const SHOWN = {
  every: row => true,
  failed: row => row.reward === null,
  passed: row => row.reward !== null && row.reward >= data.threshold,
  missed: row => row.reward !== null && row.reward < data.threshold,
  worst: row => row.why.includes("worst"),
  best: row => row.why.includes("best"),
  far: row => row.distance !== null && row.distance > 0,
};

const SORTS = {
  place: row => row.place,
  id: row => row.id,
  reward: row => row.reward === null ? -Infinity : row.reward,
  label: row => row.distance === null ? -1 : row.distance,
  text: row => row.output.length,
  field: row => cellOf(row),
};

function cellOf(row) {
  const value = row.fields?.[at.column];
  return value === undefined ? "" : typeof value === "number" ? value : shownField(value);
}
data.subs.forEach((_, n) => { SORTS["sub" + n] = row => row.subs[n] ?? -Infinity; });

// The reward, or a sub-reward; null where there is none.
export const measured = (row, of) => of === "reward" ? row.reward : row.subs[+of.slice(3)] ?? null;
const number = row => measured(row, at.of);

function filter() {
  const words = at.text.toLowerCase().split(/\s+/).filter(Boolean);
  found = rows.filter(row =>
    SHOWN[at.show](row)
    && (!at.flag || row.flags.includes(at.flag))
    && (at.low === null || (number(row) !== null && number(row) >= at.low))
    && (at.high === null || (number(row) !== null && number(row) <= at.high))
    && words.every(word => row.words.includes(word)));
  const key = SORTS[at.sort], way = at.down ? -1 : 1;
  found.sort((a, b) => { const x = key(a), y = key(b); return way * (x < y ? -1 : x > y ? 1 : 0) || a.place - b.place; });
  at.page = Math.min(at.page, Math.max(0, Math.ceil(found.length / PER_PAGE) - 1));
}

const part = reward => (reward - data.range[0]) / (data.range[1] - data.range[0] || 1);

function line(row) {
  const open = at.open === row.place;
  const tr = make("tr", { class: "row" + (row.reward === null ? " failed" : "") + (open ? " open" : ""), tabindex: "-1", "data-place": row.place });
  const opener = make("button", { type: "button", class: "opener", tabindex: "-1", "aria-expanded": String(open) }, make("bdi", {}, visible(row.id)));
  tr.append(make("td", { class: "c-id", title: visible(row.id) }, opener));
  const reward = make("td", { class: "num c-reward" });
  if (row.reward === null) reward.append(make("span", { class: "flag" }, "failed"));
  else reward.append(meter(part(row.reward)), figure(row.reward));
  tr.append(reward);
  data.subs.forEach((_, n) => { if (n < data.columns) tr.append(make("td", { class: "num c-sub" }, figure(row.subs[n] ?? null))); });
  if (data.label) tr.append(make("td", { class: "c-label" }, row.label === null ? "–" : make("bdi", {}, oneLine(String(row.label)))));
  if (at.column) tr.append(make("td", { class: "c-field" }, make("bdi", {}, oneLine(String(cellOf(row))))));
  const text = row.reward === null ? row.errors[0] || row.flags.join(", ") : row.output;
  tr.append(make("td", { class: "c-text" }, make("bdi", {}, oneLine(text))));
  return open ? [tr, detail(row)] : [tr];
}

function detail(row) {
  const cell = make("td", { class: "detail", colspan: String(3 + data.columns + (data.label ? 1 : 0) + (at.column ? 1 : 0)) });
  if (row.flags.length) cell.append(block(row.flags.join(", "), visible(row.errors.join("\n") || "nothing more is known"), true));
  if (row.output || row.reference) {
    if (row.reference) {
      const both = diff(row.output, row.reference);
      const [one, other] = data.sides;
      const titles = both.compared ? [`${one} (underlined: not in the other)`, `${other} (struck: not in the other)`] : data.sides;
      cell.append(make("div", { class: "halves" }, block(titles[0], both.output), block(titles[1], both.reference)));
    } else cell.append(block(data.sides[0], visible(row.output)));
  }
  if (data.subs.length) cell.append(block(data.measure === "reward" ? "Sub-rewards" : "Rewards", data.subs.map((key, n) => visible(key) + "  " + figure(row.subs[n] ?? null)).join("\n")));
  if (row.itemText) cell.append(block("Item", visible(row.itemText)));
  for (const [who, text] of row.messages) cell.append(block("Asked of the judge, " + visible(who), visible(text)));
  const how = fieldsOf(parsed(row.provenance), row.provenance);
  if (how) cell.append(block("How it was graded", visible(how)));
  const facts = [`line ${row.place + 2} of the file`];
  if (row.reward !== null) facts.unshift(`${data.measure} ${row.reward}`);
  if (row.seconds !== null) facts.push(`${row.seconds} s`);
  if (row.cut) facts.push("long texts are cut here");
  const foot = make("p", { class: "small soft" }, facts.join(" · "));
  if (!row.cut && row.fields) {
    const button = make("button", { type: "button", class: "quiet" }, "Copy as command");
    button.addEventListener("click", async () => { button.textContent = await copy(command(row)) ? "Copied" : "Cannot copy here"; });
    foot.append(" ", button);
  }
  cell.append(foot);
  return make("tr", { class: "more" }, cell);
}

// `grader run` of this row; the spec's file has to be put in.
const quoted = text => "'" + text.replaceAll("'", "'\\''") + "'";
const command = row => `grader run SPEC.json --sample ${quoted(row.output)} --item ${quoted(JSON.stringify(row.fields))}`;

// The rows that are found, as lines of JSON.
function download() {
  const lines = found.map(row => JSON.stringify({
    id: row.id, [data.measure]: row.reward, ...(data.subs.length && row.reward !== null ? { sub_rewards: Object.fromEntries(data.subs.map((key, n) => [key, row.subs[n]])) } : {}),
    ...(row.flags.length ? { flags: row.flags, errors: row.errors } : {}), ...(row.label === null ? {} : { label: row.label }),
    sample: row.output, item: row.fields ?? row.item, ...(row.reference ? { reference: row.reference } : {}), ...(row.cut ? { cut: true } : {}),
  }) + "\n");
  const url = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
  const link = make("a", { href: url, download: "rows.jsonl" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function draw(focus) {
  filter();
  const body = $("list").tBodies[0], from = at.page * PER_PAGE, some = found.slice(from, from + PER_PAGE);
  body.replaceChildren(...some.flatMap(line));
  $("none").hidden = found.length > 0;
  $("none").textContent = rows.length < data.total
    ? `No row on this page is like that; it holds ${rows.length.toLocaleString("en")} of ${data.total.toLocaleString("en")} rows. The results file has them all.`
    : "No row here is like that.";
  $("download").disabled = !found.length;
  $("count").textContent = found.length ? `${(from + 1).toLocaleString("en")}–${(from + some.length).toLocaleString("en")} of ${found.length.toLocaleString("en")} shown here` : "nothing";
  $("before").disabled = at.page === 0;
  $("after").disabled = from + PER_PAGE >= found.length;
  for (const th of $("list").tHead.rows[0].cells) {
    if (th.dataset.sort === "field") {
      th.hidden = !at.column;
      th.querySelector("bdi").textContent = visible(at.column.slice(0, 40));
    }
    const on = th.dataset.sort === at.sort;
    th.setAttribute("aria-sort", on ? (at.down ? "descending" : "ascending") : "none");
    th.querySelector(".way").textContent = on ? (at.down ? " ↓" : " ↑") : "";
  }
  for (const bar of document.querySelectorAll(".bar[data-low]"))
    bar.classList.toggle("on", at.of === "reward" && at.low !== null && +bar.dataset.low === at.low && +bar.dataset.high === at.high);
  const lines = [...body.querySelectorAll("tr.row")];
  const current = lines.find(tr => +tr.dataset.place === focus) || lines[0];
  if (current) { current.tabIndex = 0; if (focus !== undefined) current.focus({ preventScroll: false }); }
}

function change(what) { Object.assign(at, { page: 0, open: null }, what); draw(); }

function between(low, high) {
  $("low").value = low ?? ""; $("high").value = high ?? ""; $("of").value = "reward";
  change({ of: "reward", low, high });
}

function sort(key, down) {
  $("sort").value = (down ? "-" : "") + key;
  change({ sort: key, down });
}

$("search").addEventListener("input", event => change({ text: event.target.value }));
$("show").addEventListener("change", event => change({ show: event.target.value }));
$("flag").addEventListener("change", event => change({ flag: event.target.value }));
$("of").addEventListener("change", event => change({ of: event.target.value }));
$("sort").addEventListener("change", event => { const value = event.target.value; change({ sort: value.replace("-", ""), down: value.startsWith("-") }); });
$("column").addEventListener("change", event => change({ column: event.target.value, ...(at.sort === "field" ? { sort: "reward", down: false } : {}) }));
$("download").addEventListener("click", download);
for (const end of ["low", "high"]) $(end).addEventListener("input", event => change({ [end]: event.target.value === "" ? null : +event.target.value }));
$("clear").addEventListener("click", () => {
  for (const id of ["search", "low", "high", "flag"]) $(id).value = "";
  $("show").value = "every";
  $("of").value = $("sort").value = "reward";
  change({ ...START });
});
$("before").addEventListener("click", () => { at.page -= 1; draw(); });
$("after").addEventListener("click", () => { at.page += 1; draw(); });
for (const th of $("list").tHead.rows[0].cells) th.querySelector("button").addEventListener("click", () => {
  const key = th.dataset.sort;
  if (at.sort !== key) sort(key, key === "label");
  else if (at.down === (key === "label")) sort(key, !at.down);
  else sort("place", false);
});
$("list").tBodies[0].addEventListener("click", event => {
  const tr = event.target.closest("tr.row");
  if (tr && !String(getSelection())) toggle(+tr.dataset.place);
});

function toggle(place) {
  at.open = at.open === place ? null : place;
  const row = rows.find(row => row.place === at.open);
  history.replaceState(null, "", row ? "#row=" + encodeURIComponent(row.id) : "#rows");
  draw(place);
}

// report.html#row=ID is a link to a row
function follow() {
  if (!location.hash.startsWith("#row=")) return;
  const row = rows.find(row => row.id === decodeURIComponent(location.hash.slice(5)));
  if (!row) return;
  filter();
  if (!found.includes(row)) { $("clear").click(); filter(); }
  const index = found.indexOf(row);
  if (index < 0) return;
  at.page = Math.floor(index / PER_PAGE);
  at.open = row.place;
  draw(row.place);
}
addEventListener("hashchange", follow);

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape") {
    if (typing) typing.blur();
    else if (at.open !== null) toggle(at.open);
    return;
  }
  if (typing) return;
  if (event.key === "/") { event.preventDefault(); $("search").focus(); return; }
  if (event.key === "n" && !$("after").disabled) { $("after").click(); return; }
  if (event.key === "p" && !$("before").disabled) { $("before").click(); return; }
  const lines = [...$("list").tBodies[0].querySelectorAll("tr.row")];
  const here = lines.indexOf(event.target.closest("tr.row"));
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (step && (here >= 0 || event.key === "j" || event.key === "k")) {
    const next = lines[here < 0 ? 0 : Math.max(0, Math.min(lines.length - 1, here + step))];
    if (next) { event.preventDefault(); next.tabIndex = 0; next.focus(); }
  } else if (here >= 0 && !event.target.closest("button") && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    toggle(+lines[here].dataset.place);
  }
});

for (const bar of document.querySelectorAll(".bar[data-low]")) {
  const press = () => bar.classList.contains("on") ? between(null, null) : between(+bar.dataset.low, +bar.dataset.high);
  bar.addEventListener("click", press);
  bar.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); press(); } });
}
for (const button of document.querySelectorAll("button[data-flag]")) button.addEventListener("click", () => {
  $("flag").value = button.dataset.flag;
  change({ flag: button.dataset.flag });
  $("rows").scrollIntoView();
});

switchTheme($("theme"));
draw();
follow();
