import { make, oneLine, visible } from "./dom.js";
import { count, errorsOf, rateOf, statusOf } from "./charts.js";
import { diff } from "./diff.js";
import { failure, go, link } from "./router.js";
import { titleOf } from "./runs.js";
import { read } from "./server.js";

// Two to four runs side by side, paired by item: which verdicts flipped, and whether that can be chance.
const LETTERS = "ABCD", ALL_CRITERIA = "all criteria", PAIRS_A_PAGE = 50;

export async function comparePage(view) {
  const ids = view.query.getAll("run_id");
  if (ids.length < 2) {
    view.root.append(make("h1", {}, "Compare"), make("p", { class: "none" }, "Choose two to four runs of an eval, then Compare."));
    return;
  }
  const named = "/pages/comparison?" + ids.map(id => "run_id=" + encodeURIComponent(id)).join("&");
  const at = { only: view.query.get("only") ?? "flips", criterion: view.query.get("criterion") ?? ALL_CRITERIA, start: 0 };
  const address = more => `${named}${at.only === "flips" ? "&only=flips" : ""}&criterion=${encodeURIComponent(at.criterion)}&start=${at.start}${more}`;
  const first = await read(address("&figures=no"));
  const { runs } = first;
  const rows = make("div", { class: "pairs" }), counted = make("span", { role: "status" });
  const before = make("button", { type: "button", class: "quiet", click: () => change({ start: at.start - PAIRS_A_PAGE }) }, "Previous");
  const after = make("button", { type: "button", class: "quiet", click: () => change({ start: at.start + PAIRS_A_PAGE }) }, "Next");

  function show(page) {
    rows.replaceChildren(...page.data.map(pair => pairRow(pair, runs)));
    if (!page.data.length) rows.append(make("p", { class: "none" }, at.only === "flips" ? "No verdict flipped." : "No item is in all of the runs."));
    counted.textContent = `${page.data.length ? `${count(at.start + 1)}–${count(at.start + page.data.length)} of ` : ""}${count(page.n_shown)} shown, ${count(page.n_items)} items in all of the runs`;
    before.disabled = at.start === 0;
    after.disabled = at.start + PAIRS_A_PAGE >= page.n_shown;
  }

  async function change(what) {
    Object.assign(at, { start: 0 }, what);
    const query = new URLSearchParams(ids.map(id => ["run_id", id]));
    if (at.only !== "flips") query.set("only", "all");
    if (at.criterion !== ALL_CRITERIA) query.set("criterion", at.criterion);
    go("/compare?" + query, { replace: true });
    show(await read(address("&figures=no")));
  }

  const names = [ALL_CRITERIA, ...runs[0].criteria.map(one => one.name)];
  const option = (value, text, chosen) => make("option", { value, selected: value === chosen }, text);
  const tools = make("div", { class: "tools" },
    make("select", { id: "only", "aria-label": "Which items", change: event => change({ only: event.target.value }) }, option("flips", "only what flipped", at.only), option("all", "every item", at.only)),
    make("select", { id: "by", "aria-label": "Verdict of", change: event => change({ criterion: event.target.value }) }, names.map(name => option(name, visible(name), at.criterion))));
  const figures = make("div", { "aria-busy": "true" }, make("p", { class: "soft" }, "comparing…"));
  show(first);
  read(named + "&figures=only").then(
    ({ comparisons }) => figures.replaceChildren(...comparisons.map((one, n) => figuresAgainst(one, LETTERS[n + 1]))),
    error => figures.replaceChildren(failure(error))).finally(() => figures.removeAttribute("aria-busy"));
  view.root.append(
    make("p", { class: "eyebrow" }, link("/", "Evals"), " / ", link("/evals/" + runs[0].eval_id, "its runs")),
    make("h1", {}, "Runs side by side"),
    make("ul", { class: "plain" }, runs.map((run, n) => make("li", {}, make("b", {}, LETTERS[n]), " ", link(`/evals/${run.eval_id}?run_id=${run.id}`, make("bdi", {}, titleOf(run))), " ", statusOf(run.status), " ", rateOf(run.rate, { picture: false }), " ", errorsOf(run.errored)))),
    figures,
    make("section", { id: "items" }, make("header", {}, make("h2", {}, "Items"), make("p", {}, "Paired by content. Open one to see what differs between the outputs.")), tools,
      make("div", { class: "card flush" }, rows, make("div", { class: "pager" }, counted, make("div", {}, before, after)))));
}

// A p value in words.
const chanceOf = p => p < 0.001 ? "< 0.001" : p.toFixed(3);
const signedPoints = part => (part > 0 ? "+" : part < 0 ? "−" : "") + (Math.abs(part) * 100).toFixed(1);

function figuresAgainst(one, letter) {
  const repeats = one.n_items < one.n_pairs;
  const head = ["Criterion", "Items", "A", letter, `${letter} − A, points`, "95 % interval", "Up", "Down", repeats ? "Sign-flip p" : "McNemar p"];
  const rows = one.criteria.map(each => make("tr", {}, make("th", { scope: "row", class: "name" }, make("bdi", {}, visible(each.name))),
    make("td", { class: "num" }, count(each.n), each.left_out ? make("span", { class: "bad small below" }, `${count(each.left_out)} left out for an error`) : null),
    make("td", {}, rateOf(each.rates[0], { picture: false })), make("td", {}, rateOf(each.rates[1], { picture: false })),
    each.difference ? [make("td", { class: "num" }, make("b", {}, signedPoints(each.difference[0]))), make("td", { class: "num soft" }, each.difference[1] === null ? "–" : `${signedPoints(each.difference[1])} to ${signedPoints(each.difference[2])}`)] : [make("td", {}, "–"), make("td", {}, "–")],
    make("td", { class: "num good" }, count(each.up)), make("td", { class: "num bad" }, count(each.down)),
    make("td", { class: "num", title: `unadjusted ${chanceOf(each.p_value)}` }, chanceOf(each.p_adjusted))));
  const apart = one.only_a || one.only_b ? ` ${count(one.only_a)} items are only in A, ${count(one.only_b)} only in ${letter}.` : "";
  return make("section", {}, make("header", {}, make("h2", {}, `${letter} against A`),
    make("p", {}, `${count(one.n_pairs)} items in both${repeats ? `, ${count(one.n_items)} different ones: intervals and p values are over these` : ""}.${apart} P values are Holm's over all that are shown here.`)),
    make("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": `${letter} against A` }, make("table", { class: "figures" }, make("thead", {}, make("tr", {}, head.map((text, n) => make("th", { scope: "col", class: n === 1 || n > 3 ? "num" : "" }, text)))), make("tbody", {}, rows))));
}

const verdictOf = passed => statusOf(passed === null ? "error" : passed ? "pass" : "fail");

function pairRow({ verdicts, items }, runs) {
  const head = make("summary", {}, make("b", {}, count(items[0].n)), " ",
    verdicts.map((passed, n) => [make("span", { class: "soft small" }, LETTERS[n] + " "), verdictOf(passed), " "]), make("bdi", { class: "soft" }, oneLine(items[0].item)));
  const box = make("details", { class: "pair-row" }, head);
  box.addEventListener("toggle", async () => {
    if (!box.open || box.children.length > 1) return;
    box.append(make("p", { class: "soft small" }, "reading…"));
    const whole = await Promise.all(runs.map((run, n) => read(`/v1/evals/${run.eval_id}/runs/${run.id}/output_items/${items[n].id}`)));
    box.lastChild.replaceWith(sideBySide(whole, runs));
  });
  return box;
}

const outputOf = item => (item.sample?.output ?? []).map(one => [one.content, ...(one.tool_calls ?? []).map(made => JSON.stringify(made, null, 2))].filter(Boolean).join("\n")).join("\n");

// Outputs of each run beside the first one's, with the words that differ marked.
function sideBySide(whole, runs) {
  const texts = whole.map(outputOf);
  const box = (n, inside, about) => make("div", {}, make("h3", {}, `${LETTERS[n]} ${titleOf(runs[n])}${about}`), make("pre", { class: "text", tabindex: "0", dir: "auto" }, inside),
    make("ul", { class: "plain small" }, whole[n].results.map(result => make("li", {}, statusOf(result.error ? "error" : result.passed ? "pass" : "fail"), " ",
      visible(result.name.replace(/-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "")), result.error ? " " + visible(result.error.message.slice(0, 300)) : ""))));
  const pairs = texts.slice(1).map((text, n) => diff(text, texts[0]));
  const same = pairs.length === 1 && pairs[0].compared;
  return make("div", { class: "item" }, make("div", { class: "sides" },
    box(0, same ? pairs[0].reference : visible(texts[0]), same ? " (struck: not in B)" : ""),
    pairs.map((pair, n) => box(n + 1, pair.output, pair.compared ? " (underlined: not in A)" : ""))),
    make("h3", {}, "Item"), make("pre", { class: "text", tabindex: "0", dir: "auto" }, visible(JSON.stringify(whole[0].datasource_item, null, 2))));
}
