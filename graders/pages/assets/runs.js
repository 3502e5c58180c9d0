import { make, meter, visible } from "./dom.js";
import { claimsOf, count, duration, errorsOf, rateOf, statusOf, when } from "./charts.js";
import { go, link } from "./router.js";
import { call, read } from "./server.js";
import { dropZone, runFile } from "./upload.js";

const ENDED = new Set(["completed", "failed", "canceled"]);
export const isEnded = run => ENDED.has(run.status);
export const titleOf = run => visible(run.name || run.model || run.id);
const COMPARED_MOST = 4, LOOK_S = 2;

// An eval: its runs, with a column for each criterion.
export async function runsPage(view, evalId) {
  const chosen = new Set();
  const list = make("tbody");
  const compare = make("button", { type: "button", class: "quiet", disabled: true, click: () => go("/compare?" + [...chosen].map(id => "run_id=" + id).join("&")) }, "Compare");
  const more = make("button", { type: "button", class: "quiet", click: () => load(last) }, "Older ones");
  let last = "", found = await read("/pages/evals/" + evalId);
  const names = found.testing_criteria.map(one => visible(one.name));

  function choose(run, on) {
    if (on) chosen.add(run.id); else chosen.delete(run.id);
    compare.disabled = chosen.size < 2 || chosen.size > COMPARED_MOST;
    compare.textContent = chosen.size ? `Compare ${chosen.size} runs` : "Compare";
  }

  function show(page) {
    list.append(...page.data.map(run => runRow(run, names.length, on => choose(run, on), again)));
    last = page.data.at(-1)?.id ?? last;
    more.hidden = !page.has_more;
  }

  async function load(after) { show(await read(`/pages/evals/${evalId}?after=${encodeURIComponent(after)}`)); }

  // Rows of runs that are under way are drawn anew, with what was chosen and where the focus is left alone.
  async function again() {
    const page = await read("/pages/evals/" + evalId);
    for (const run of page.data) {
      const old = list.querySelector(`[data-run="${run.id}"]`);
      const row = runRow(run, names.length, on => choose(run, on), again, chosen.has(run.id));
      if (!old) list.prepend(row);
      else if (old.dataset.ended !== "true") old.replaceWith(row);
    }
    for (const row of [...list.rows]) if (!page.has_more && !page.data.some(run => run.id === row.dataset.run)) row.remove();
  }

  show(found);
  view.every(LOOK_S, () => { if (list.querySelector('[data-ended="false"]')) again(); });
  const head = ["", "Run", "Status", "Passed", ...names, "Tokens", "Time", ""];
  view.root.append(
    make("p", { class: "eyebrow" }, link("/", "Evals")),
    make("div", { class: "top" }, make("h1", {}, make("bdi", {}, visible(found.name || found.id))), compare),
    make("p", { class: "soft small" }, `${found.id} · created ${when(found.created_at)}`),
    make("ul", { class: "cautions", "aria-label": "What is known of the graders", hidden: !found.claims.flat().length },
      names.map((name, place) => found.claims[place].length ? make("li", {}, name, claimsOf(found.claims[place])) : null)),
    dropZone("Drop a JSONL file of items with samples to grade it", file => runFile(evalId, file)),
    make("div", { class: "card flush scroll", tabindex: "0", role: "region", "aria-label": "Runs" },
      make("table", { class: "grid" }, make("thead", {}, make("tr", {}, head.map(name => name ? make("th", { scope: "col" }, name) : make("td")))), list),
      found.data.length ? null : make("p", { class: "none" }, "No runs yet.")),
    more);
}

function runRow(run, criteria, choose, changed, checked = false) {
  const cells = run.criteria.slice(0, criteria).map(one => make("td", {}, rateOf(one.rate), errorsOf(one.errored)));
  while (cells.length < criteria) cells.push(make("td", { class: "soft" }, "–"));
  return make("tr", { "data-run": run.id, "data-ended": String(isEnded(run)) },
    make("td", {}, make("input", { type: "checkbox", checked, "aria-label": "Compare " + titleOf(run), change: event => choose(event.target.checked) })),
    make("th", { scope: "row" }, link(`/evals/${run.eval_id}?run_id=${run.id}`, make("bdi", {}, titleOf(run))),
      make("span", { class: "soft small below" }, [run.model && run.name ? visible(run.model) : null, when(run.created_at)].filter(Boolean).join(" · "))),
    make("td", {}, progress(run)),
    make("td", {}, rateOf(run.rate), errorsOf(run.errored)),
    cells,
    make("td", { class: "num" }, tokens(run), run.cost === null ? null : make("span", { class: "soft small below" }, run.cost.toPrecision(3))),
    make("td", { class: "num" }, time(run)),
    make("td", {}, actions(run, changed)));
}

// Its status; while it is under way, how far it is and when it will end at this pace.
export function progress(run) {
  const done = run.passed + run.failed + run.errored;
  if (isEnded(run)) return [statusOf(run.status), run.error ? make("span", { class: "bad small below" }, visible(run.error.message)) : null];
  const spent = Date.now() / 1000 - run.started_at;
  const left = run.started_at && done && run.n_rows ? `, about ${duration(spent / done * (run.n_rows - done))} left` : "";
  return [statusOf(run.status), make("span", { class: "below small" }, run.n_rows ? meter(done / run.n_rows) : null, ` ${count(done)} of ${run.n_rows === null ? "?" : count(run.n_rows)}${left}`)];
}

export const tokens = run => count(run.usage.reduce((sum, one) => sum + one.total_tokens, 0));
export const time = run => run.started_at ? duration((run.ended_at ?? Date.now() / 1000) - run.started_at) : "–";

// Cancel, run again, delete.
export function actions(run, changed) {
  const path = `/v1/evals/${run.eval_id}/runs/${run.id}`;
  const button = (name, work) => make("button", { type: "button", class: "quiet", "aria-label": `${name} ${titleOf(run)}`, click: async event => {
    event.target.disabled = true;
    try { await work(); await changed(); } catch (error) { event.target.after(make("span", { class: "bad small", role: "alert" }, error.message)); }
    event.target.disabled = false;
  } }, name);
  const rerun = async () => {
    const { data_source, name, metadata } = await read(path);
    await call("POST", `/v1/evals/${run.eval_id}/runs`, { data_source, name, metadata });
  };
  const remove = async () => { if (confirm(`Delete ${titleOf(run)} with its items?`)) await call("DELETE", path); };
  return make("span", { class: "actions" }, isEnded(run) ? [button("Rerun", rerun), button("Delete", remove)] : button("Cancel", () => call("POST", path + "/cancel")));
}
