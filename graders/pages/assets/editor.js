import { $, make, meter } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { ask } from "./server.js";

// A spec, whose problems show as it is typed, run on one row.
let lookups = 0, running = false;

const card = (bar, ...inside) => make("section", { class: "card flush" }, make("div", { class: "bar-of" }, bar), inside);
const hint = (id, text, more = {}) => make("span", { class: "hint", id, ...more }, text);
const area = (id, rows) => make("textarea", { id, rows, spellcheck: "false", autocapitalize: "off", autocomplete: "off" });

export async function editorPage(view) {
  const example = make("select", { id: "example", change: () => useExample(example.value) }, Object.keys(EXAMPLES).map(name => make("option", { value: name }, name)));
  const spec = make("textarea", { id: "spec", spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off", "aria-describedby": "problems", input: typed, scroll: () => { $("gutter").scrollTop = spec.scrollTop; } });
  const item = area("item", "4");
  item.addEventListener("input", readItem);
  view.root.append(
    make("div", { class: "top" }, make("h1", {}, "Grade a row"), make("ul", { class: "state", id: "state", "aria-label": "The server's state" }, fact("", "looking…"))),
    make("div", { class: "editing" },
      make("div", {}, card([make("label", { for: "spec" }, "Spec"), make("label", { class: "push hint", for: "example" }, "Example"), example],
        make("div", { class: "editor" }, make("pre", { class: "gutter", id: "gutter", "aria-hidden": "true" }, "1"), spec),
        make("ul", { class: "problems", id: "problems", "aria-live": "polite", "aria-label": "Problems of the spec" }))),
      make("div", {},
        card([make("label", { for: "sample" }, "Sample"), hint(null, "the model's output")], area("sample", "4")),
        card([make("label", { for: "item" }, "Item"), hint(null, "the dataset row, a JSON object"), hint("item-problem", "", { role: "status" })], item),
        make("div", { class: "run" }, make("button", { class: "main", id: "run", type: "button", click: runOnce }, "Run"), make("span", { class: "hint" }, make("kbd", {}, "Ctrl"), " ", make("kbd", {}, "Enter"), " from anywhere")),
        card([make("h2", {}, "Result"), hint("took", "")], make("div", { class: "result", id: "result", role: "status", "aria-live": "polite" })))),
    make("footer", {}, make("span", {}, "What you type goes to this server only. ", ["openapi.json", "readyz", "metrics"].map(name => [make("a", { href: "/" + name }, name), " "]))));
  $("page").replaceChildren(view.root);
  new ResizeObserver(() => { $("gutter")?.style.setProperty("height", `${spec.clientHeight}px`); }).observe(spec);
  useExample("multi");
  showState();
  view.every(5, showState);
  const keyed = event => {
    if (!view.alive) return document.removeEventListener("keydown", keyed);
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") { event.preventDefault(); runOnce(); }
  };
  document.addEventListener("keydown", keyed);
}

function element(tag, text, name) {
  return make(tag, { class: name }, text);
}

const shortNumber = (value) => Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));

// --- the spec and its problems ---

function numberLines(problems) {
  const worst = {};
  for (const problem of problems) if (problem.line && worst[problem.line] !== "error") worst[problem.line] = problem.severity;
  const lines = $("spec").value.split("\n").length;
  $("gutter").replaceChildren(...Array.from({ length: lines }, (_, i) => element("span", `${i + 1}\n`, worst[i + 1])));
  $("gutter").scrollTop = $("spec").scrollTop;
}

function goTo(line, column) {
  const lines = $("spec").value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + Math.max(0, column - 1);
  $("spec").focus();
  $("spec").setSelectionRange(start, start + Math.max(1, (lines[line - 1] || "").length - Math.max(0, column - 1)));
}

function showProblems(problems) {
  numberLines(problems);
  const errors = problems.filter((problem) => problem.severity === "error").length;
  $("problems").replaceChildren(...problems.map((problem) => {
    const item = element("li", undefined, problem.severity);
    item.append(element("b", problem.severity), element("span", `${problem.message} ${problem.suggestion}`.trim(), "text"));
    if (problem.line) {
      const jump = element("button", `line ${problem.line}`);
      jump.type = "button";
      jump.addEventListener("click", () => goTo(problem.line, problem.column));
      item.append(jump);
    }
    return item;
  }));
  if (!problems.length) {
    const item = element("li", undefined, "fine");
    item.append(element("b", "valid"), element("span", "No problems found.", "text"));
    $("problems").append(item);
  }
  $("spec").setAttribute("aria-invalid", String(errors > 0));
}

async function lookForProblems() {
  const mine = ++lookups;
  try {
    const { status, answer } = await ask("POST", "/v1/graders/problems", { spec: $("spec").value });
    if (mine !== lookups || !$("spec")) return;
    showProblems(status === 200 ? answer.problems : [{ severity: "error", message: answer.error?.message || `status ${status}`, suggestion: "", line: 0 }]);
  } catch {
    if (mine === lookups && $("spec")) showProblems([{ severity: "error", message: "The server does not answer.", suggestion: "", line: 0 }]);
  }
}

let lookLater;
function typed() {
  numberLines([]);
  clearTimeout(lookLater);
  lookLater = setTimeout(lookForProblems, 200);
}

// --- the row ---

function readItem() {
  const text = $("item").value.trim();
  try {
    const item = text ? JSON.parse(text) : {};
    const fine = item !== null && typeof item === "object" && !Array.isArray(item);
    $("item-problem").textContent = fine ? "" : "expected an object";
    return fine ? item : undefined;
  } catch (error) {
    $("item-problem").textContent = "not JSON";
  }
}

async function runOnce() {
  if (running) return;
  const item = readItem();
  let grader;
  try { grader = JSON.parse($("spec").value); } catch { return $("spec").focus(); }
  if (item === undefined) return $("item").focus();
  running = true;
  $("took").textContent = "running…";
  const started = performance.now();
  try {
    const body = { grader, model_sample: $("sample").value, item };
    const { status, answer, id } = await ask("POST", "/v1/fine_tuning/alpha/graders/run", body);
    status === 200 ? graded(answer) : refused(status, answer.error, id);
    $("took").textContent = `${Math.round(performance.now() - started)} ms there and back`;
  } catch {
    refused(0, { message: "The server does not answer." });
    $("took").textContent = "";
  }
  running = false;
  showState();
}

function graded(result) {
  const { errors, name, type, execution_time, token_usage, sampled_model_name } = result.metadata;
  const flags = Object.keys(errors).filter((flag) => errors[flag] === true);
  const box = element("div", undefined, flags.length ? "failed" : "");
  const verdict = element("div", undefined, "outcome");
  verdict.append(element("span", shortNumber(result.reward), "reward"), element("span", flags.length ? "not a score: the row failed" : "graded", "badge"));
  const facts = [`${name} (${type})`, `${(execution_time * 1000).toPrecision(3)} ms`];
  if (token_usage) facts.push(`${token_usage.total_tokens ?? "?"} tokens of ${sampled_model_name}`);
  box.append(verdict, element("p", facts.join(" · "), "about"));
  const subs = Object.entries(result.sub_rewards);
  if (subs.length) box.append(subRewards(subs));
  for (const flag of flags) box.append(flagged(flag, errors[`${flag}_details`] || errors[`${flag}_type`]));
  const raw = element("details");
  raw.append(element("summary", "The response"), element("pre", JSON.stringify(result, null, 2)));
  box.append(raw);
  $("result").replaceChildren(box);
}

function subRewards(subs) {
  const table = element("table", undefined, "subs");
  for (const [key, value] of subs) {
    const row = table.insertRow();
    const head = element("th", key);
    head.scope = "row";
    row.append(head);
    row.insertCell().append(meter(value));
    const cell = row.insertCell();
    cell.className = "n";
    cell.textContent = shortNumber(value);
  }
  return table;
}

function flagged(flag, details) {
  const box = element("div", undefined, "flags");
  const head = element("p");
  head.append(element("code", flag));
  box.append(head);
  if (details) box.append(element("pre", details));
  return box;
}

function refused(status, error, id) {
  const box = element("div", undefined, "failed");
  const flags = element("div", undefined, "flags");
  flags.append(element("p", status ? `The request was refused with status ${status}${error?.param ? `, at ${error.param}` : ""}.` : "No answer."));
  flags.append(element("pre", error?.message || ""));
  box.append(flags);
  if (id) box.append(element("p", id, "about"));
  $("result").replaceChildren(box);
}

// --- the server ---

function fact(label, value, mark) {
  const item = element("li");
  if (mark) item.append(element("span", undefined, `dot ${mark}`));
  item.append(document.createTextNode(label + " "), element("b", value));
  return item;
}

async function showState() {
  try {
    const { status, answer } = await ask("GET", "/state");
    if (!$("state")) return;
    if (status !== 200) {
      $("state").replaceChildren(fact("", `status ${status}`, "no"));
      return;
    }
    const bad = Object.values(answer.checks).find((check) => !check.ok);
    const rows = Object.values(answer.rows).reduce((sum, n) => sum + n, 0);
    const failed = Object.values(answer.failures).reduce((sum, n) => sum + n, 0);
    const ready = fact(bad ? "not ready" : "ready", `v${answer.version}`, bad ? "no" : "ok");
    if (bad) ready.title = bad.text;
    $("state").replaceChildren(
      ready,
      fact("sandbox", answer.checks.sandbox.ok ? answer.checks.sandbox.text : "none"),
      fact("rows", rows.toLocaleString("en")),
      fact("failed", failed.toLocaleString("en")),
      fact("compiled", String(answer.compiled)),
    );
  } catch {
    $("state")?.replaceChildren(fact("", "no answer", "no"));
  }
}

function useExample(name) {
  const [spec, sample, item] = EXAMPLES[name];
  $("spec").value = JSON.stringify(spec, null, 2);
  $("sample").value = sample;
  $("item").value = JSON.stringify(item, null, 2);
  $("result").replaceChildren(element("p", "Nothing has been run yet.", "empty"));
  $("took").textContent = "";
  readItem();
  numberLines([]);
  lookForProblems();
}
