import { make, visible } from "./dom.js";
import { count, errorsOf, plural, rateOf, statusOf, trend, when } from "./charts.js";
import { link } from "./router.js";
import { read } from "./server.js";
import { dropZone, importFile } from "./upload.js";

// The list of evals: the last run's pass rate with its interval, the trend, errors.
export async function evalsPage(view) {
  const list = make("tbody");
  const more = make("button", { type: "button", class: "quiet", click: () => load() }, "Older ones");
  const empty = make("p", { class: "none", hidden: true }, "No evals yet. Create one with client.evals.create, or drop an export or a file of grader evals pull here.");
  const head = ["Eval", "Last pass rate", "Trend", "Last run", "Runs"].map(name => make("th", { scope: "col" }, name));
  let last = "";

  async function load() {
    const page = await read("/pages/evals?after=" + encodeURIComponent(last));
    list.append(...page.data.map(evalRow));
    last = page.data.at(-1)?.id ?? last;
    more.hidden = !page.has_more;
    empty.hidden = list.rows.length > 0;
  }

  await load();
  view.root.append(
    make("h1", {}, "Evals"),
    dropZone("Drop an export of the dashboard, a file of grader evals pull, or results of grader batch", async file => importFile(file)),
    make("div", { class: "card flush scroll", tabindex: "0", role: "region", "aria-label": "Evals" },
      make("table", { class: "grid" }, make("thead", {}, make("tr", {}, head)), list), empty),
    more);
}

function evalRow(one) {
  const [last] = one.runs;
  const rates = one.runs.map(run => run.rate ? run.rate[0] : null).reverse();
  return make("tr", {},
    make("th", { scope: "row" }, link("/evals/" + one.id, make("bdi", {}, visible(one.name || one.id))), make("span", { class: "soft small below" }, one.criteria.map(visible).join(", "))),
    make("td", {}, last ? [rateOf(last.rate), errorsOf(last.errored)] : "–"),
    make("td", {}, trend(rates)),
    make("td", {}, last ? [statusOf(last.status), make("span", { class: "soft small below" }, when(last.created_at))] : make("span", { class: "soft" }, "never run")),
    make("td", { class: "num" }, one.runs.length >= 20 ? "20 or more" : count(one.runs.length)));
}
