import { $, figure, make, oneLine, visible } from "./dom.js";
import { claimsOf, count, errorsOf, percent, plural, rateOf, statusOf, when } from "./charts.js";
import { itemDetail } from "./item.js";
import { failure, go, here, link } from "./router.js";
import { actions, isEnded, progress, time, titleOf, tokens } from "./runs.js";
import { read } from "./server.js";
import { regradeForm } from "./regrade.js";

// A run: its figures, and its items, filtered and paged by the server.
const ITEMS_A_PAGE = 50, RUN_LOOK_S = 2, TYPING_MS = 250;
const FILTERS = ["status", "criterion", "verdict", "low", "high", "sort", "q"];

export async function itemsPage(view, evalId, runId) {
  let run = await read("/pages/runs/" + runId);
  const { testing_criteria: given, thresholds, name } = await read(`/pages/evals/${evalId}?limit=1`);
  const criteria = given.map((one, place) => ({ ...one, threshold: thresholds[place] }));
  const facts = make("div");
  const items = itemsTable(view, run, criteria);
  const deep = make("div");

  async function look() {
    run = await read("/pages/runs/" + runId);
    facts.replaceChildren(...figures(run, criteria, look));
  }

  facts.replaceChildren(...figures(run, criteria, look));
  if (!isEnded(run)) view.every(RUN_LOOK_S, async () => {
    if (isEnded(run)) return;
    await look();
    items.refresh();
  });
  const wanted = view.query.get("item");
  if (wanted) {
    const close = make("button", { type: "button", class: "quiet", click: () => { deep.replaceChildren(); go(here({ item: null }), { replace: true }); } }, "Close");
    deep.append(make("section", {}, make("header", { class: "top" }, make("h2", {}, "Item"), close),
      make("div", { class: "card" }, await itemDetail(run, criteria, wanted).catch(failure))));
  }
  view.root.append(
    make("p", { class: "eyebrow" }, link("/", "Evals"), " / ", link("/evals/" + evalId, make("bdi", {}, visible(name || evalId)))),
    make("h1", {}, make("bdi", {}, titleOf(run))), facts, deep, items.element, regradeForm(run, criteria));
  await items.load([]);
}

function figures(run, criteria, changed) {
  const tile = (term, value, about) => make("div", { class: "tile" }, make("dt", {}, term), make("dd", {}, value, about ? make("div", { class: "small" }, about) : null));
  const head = ["Criterion", "Type", "Passed", "Failed", "Errors", "Pass rate", "Mean score"];
  const rows = run.criteria.map((one, place) => make("tr", {},
    make("th", { scope: "row", class: "name" }, make("bdi", {}, visible(one.name))), make("td", {}, criteria[place]?.type ?? "–"),
    make("td", { class: "num" }, count(one.passed)), make("td", { class: "num" }, count(one.failed)), make("td", { class: "num" }, one.errored ? errorsOf(one.errored) : "0"),
    make("td", {}, rateOf(one.rate), claimsOf(run.claims[place] ?? [])), make("td", { class: "num" }, one.mean === null ? "–" : figure(one.mean))));
  const usage = run.usage.map(one => make("li", {}, `${visible(one.model)} as ${one.role}: ${plural(one.calls, "call")}, ${count(one.prompt_tokens)} + ${count(one.completion_tokens)} tokens` + (one.cost === null ? "" : `, ${one.cost.toPrecision(3)} by [prices]`)));
  return [
    make("p", { class: "soft small" }, progress(run), ` ${run.model ? visible(run.model) + " · " : ""}${run.id} · ${when(run.created_at)} `, actions(run, changed)),
    make("dl", { class: "tiles" },
      tile("Pass rate of items", run.rate ? percent(run.rate[0]) : "–", run.rate ? `95 % interval ${percent(run.rate[1])} to ${percent(run.rate[2])}; errors are in no rate` : "nothing has a verdict yet"),
      tile("Passed", count(run.passed)), tile("Failed", count(run.failed)),
      tile("Errors", run.errored ? errorsOf(run.errored) : "0", run.errored ? "could not be graded" : ""),
      tile("Tokens", tokens(run), run.cost === null ? "" : `cost ${run.cost.toPrecision(3)} by [prices]`), tile("Time", time(run))),
    make("section", {}, make("header", {}, make("h2", {}, "Criteria")),
      make("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Criteria" }, make("table", { class: "figures" },
        make("thead", {}, make("tr", {}, head.map((text, n) => make("th", { scope: "col", class: n > 1 && n !== 5 ? "num" : "" }, text)))), make("tbody", {}, rows)),
        usage.length ? make("ul", { class: "soft small plain" }, usage) : null)),
  ];
}

// --- the table of items ---

function choice(id, label, options, value, change) {
  return make("select", { id, "aria-label": label, change: event => change({ [id]: event.target.value }) },
    options.map(([key, text]) => make("option", { value: key, selected: key === (value ?? "") }, text)));
}

function itemsTable(view, run, criteria) {
  const at = Object.fromEntries(FILTERS.map(name => [name, view.query.get(name) ?? ""]));
  const pages = [];
  const body = make("tbody"), note = make("p", { class: "none", hidden: true }), counted = make("span", { role: "status" });
  const before = make("button", { type: "button", class: "quiet", click: () => { pages.pop(); load(pages.pop() ?? []); } }, "Previous");
  const after = make("button", { type: "button", class: "quiet", click: () => load(JSON.parse(next)) }, "Next");
  let next = null, asked = 0, typing;

  function address(start) {
    const query = new URLSearchParams({ limit: ITEMS_A_PAGE });
    for (const name of FILTERS) if (at[name] !== "") query.set(name, at[name]);
    if ((at.verdict || at.low !== "" || at.high !== "" || at.sort) && at.criterion === "") query.set("criterion", "0");
    if (start.length) query.set("after", JSON.stringify(start));
    return `/pages/runs/${run.id}/items?${query}`;
  }

  async function load(start, { keep = false } = {}) {
    const mine = ++asked;
    let page;
    try { page = await read(address(start)); } catch (error) { note.textContent = error.message; note.hidden = false; return; }
    if (mine !== asked || !view.alive) return;
    if (!keep) pages.push(start);
    next = page.next;
    before.disabled = pages.length < 2;
    after.disabled = next === null;
    if (!(keep && body.querySelector(".open"))) body.replaceChildren(...page.data.map(one => itemRow(one, run, criteria)));
    const partly = page.searchable !== null && run.n_rows !== null && page.searchable < run.n_rows && isEnded(run);
    note.hidden = page.data.length > 0;
    note.textContent = isEnded(run) || FILTERS.some(name => at[name]) ? "No item is like that." : "No item is finished yet.";
    counted.textContent = (page.data.length ? `items ${count(page.data[0].n)} … ${count(page.data.at(-1).n)}` : "")
      + (partly ? `; ${count(page.searchable)} of ${count(run.n_rows)} have been searched, more are being read` : "");
    if (partly) setTimeout(() => mine === asked && load(start, { keep: true }), 50);
  }

  function change(what) {
    Object.assign(at, what);
    go(here({ ...at, item: null }), { replace: true });
    pages.length = 0;
    load([]);
  }

  const later = what => { clearTimeout(typing); typing = setTimeout(() => change(what), TYPING_MS); };
  const between = (id, label) => make("label", {}, make("span", { class: "soft" }, label), make("input", { class: "between", id, type: "number", step: "any", value: at[id], input: event => later({ [id]: event.target.value }) }));
  const names = criteria.map((one, place) => [String(place), visible(one.name)]);
  const tools = make("div", { class: "tools", role: "search" },
    make("input", { type: "search", id: "search", placeholder: "Search items and outputs", "aria-label": "Words in items and outputs", value: at.q, input: event => later({ q: event.target.value }) }),
    choice("status", "Status of the item", [["", "every status"], ["pass", "passed"], ["fail", "failed"], ["error", "errors"]], at.status, change),
    choice("criterion", "Criterion", names, at.criterion || "0", change),
    choice("verdict", "Verdict of that criterion", [["", "any verdict"], ["pass", "passed"], ["fail", "failed"], ["error", "error"]], at.verdict, change),
    make("span", { class: "range" }, between("low", "score from"), between("high", "to")),
    choice("sort", "Order", [["", "in the data's order"], ["score", "lowest score first"]], at.sort, change));
  const head = [["c-n", "n"], ["c-status", "status"], ...names.map(([, text]) => ["num c-score", text]), ["c-item", "item"], ["c-output", "output"]]
    .map(([kind, text]) => make("th", { scope: "col", class: kind }, text));
  const element = make("section", { id: "items" }, make("header", {}, make("h2", {}, "Items")), tools,
    make("div", { class: "card flush" }, make("table", { class: "grid items" }, make("thead", {}, make("tr", {}, head)), body), note,
      make("div", { class: "pager" }, counted, make("div", {}, before, after))),
    make("p", { class: "keys" }, make("kbd", {}, "/"), " search \u2002 ", make("kbd", {}, "j"), " ", make("kbd", {}, "k"), " next, previous item \u2002 ", make("kbd", {}, "Enter"), " open \u2002 ", make("kbd", {}, "Esc"), " close"));
  return { element, load, refresh: () => load(pages.at(-1) ?? [], { keep: true }) };
}

function itemRow(one, run, criteria) {
  const scores = new Map(one.scores.map(score => [score[0], score]));
  const opener = make("button", { type: "button", class: "opener", "aria-expanded": "false", "aria-label": `Item ${one.n}` }, count(one.n));
  const row = make("tr", { class: "row" },
    make("td", { class: "c-n" }, opener), make("td", { class: "c-status" }, statusOf(one.status)),
    criteria.map((criterion, place) => {
      const [, score, passed, error] = scores.get(place) ?? [place, null, false, null];
      const said = error ? make("span", { class: "flag" }, "error") : score === null ? "–" : make("span", { class: passed ? "good" : "bad" }, figure(score));
      return make("td", { class: "num c-score", title: visible(criterion.name) + (error ? ": " + error : "") }, said);
    }),
    make("td", { class: "c-item" }, make("bdi", {}, oneLine(one.item))), make("td", { class: "c-output" }, make("bdi", {}, oneLine(one.output))));
  let detail = null;

  async function toggle() {
    const open = detail === null;
    opener.setAttribute("aria-expanded", String(open));
    row.classList.toggle("open", open);
    go(here({ item: open ? one.id : null }), { replace: true });
    if (!open) { detail.remove(); detail = null; return; }
    const cell = make("td", { class: "detail", colspan: String(row.cells.length) });
    detail = make("tr", { class: "more" }, cell);
    row.after(detail);
    cell.append(await itemDetail(run, criteria, one.id).catch(failure));
  }

  row.addEventListener("click", () => { if (!String(getSelection())) toggle(); });
  return row;
}

// j and k step through the rows of whatever table a page shows, / goes to its search.
export function listenForKeys() {
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const search = $("search"), field = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
      if (field) field.blur();
      else event.target.closest("tbody")?.querySelector('.opener[aria-expanded="true"]')?.click();
    }
    if (field) return;
    if (event.key === "/" && search) { event.preventDefault(); search.focus(); return; }
    const step = { j: 1, k: -1 }[event.key];
    const openers = [...document.querySelectorAll(".opener")];
    if (!step || !openers.length) return;
    const place = openers.indexOf(document.activeElement);
    openers[place < 0 ? 0 : Math.max(0, Math.min(openers.length - 1, place + step))].focus();
  });
}
