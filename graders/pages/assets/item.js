import { block, figure, make, visible } from "./dom.js";
import { count, plural, statusOf } from "./charts.js";
import { read } from "./server.js";

// An output item: what the model was asked and answered, and what each criterion made of it.
const IMAGE = /<image>([\s\S]*?)<\/image>/;
const SHOWN_IMAGE = /^data:image\/(png|jpeg|gif|webp);base64,[\w+/=]+$/;
const asText = value => typeof value === "string" ? value : JSON.stringify(value, null, 2);

export async function itemDetail(run, criteria, id) {
  const item = await read(`/v1/evals/${run.eval_id}/runs/${run.id}/output_items/${id}`);
  const sample = item.sample ?? {};
  const byId = new Map(criteria.map(one => [one.id, one]));
  return make("div", { class: "item" },
    make("p", { class: "soft small" }, statusOf(item.status), ` item ${count(item.datasource_item_id)} · ${item.id}${factsOf(sample)}`),
    sample.error ? block(sample.error.code || "error", visible(sample.error.message || ""), true) : null,
    (sample.input ?? []).length ? part("Asked of the model", sample.input.map(message)) : null,
    part("Output", (sample.output ?? []).map(message)),
    part("Criteria", item.results.map(result => criterionResult(result, byId.get(result.name)))),
    part("Item", fields(item.datasource_item)));
}

function part(title, inside) {
  return make("section", { class: "part" }, make("h3", {}, title), [inside].flat().length ? inside : make("p", { class: "soft" }, "none"));
}

function factsOf(sample) {
  const { model, usage, finish_reason: reason } = sample;
  return [model, usage && `${count(usage.prompt_tokens)} + ${count(usage.completion_tokens)} tokens`, reason && "finish " + reason]
    .filter(Boolean).map(text => " · " + visible(String(text))).join("");
}

function message({ role, content, tool_calls: calls }) {
  return make("div", { class: "message" }, make("span", { class: "role" }, visible(role ?? "")),
    content === null || content === undefined || content === "" ? null : rich(asText(content)),
    (calls ?? []).map(toolCall));
}

// A text in which images stand as <image>URL</image>. Those that are in the data are shown; others are never loaded.
function rich(text) {
  const pieces = text.split(IMAGE).map((piece, n) => {
    if (n % 2 === 0) return visible(piece);
    return SHOWN_IMAGE.test(piece) ? make("img", { src: piece, alt: "image of the data", class: "picture" })
      : make("span", { class: "chip" }, "image, not loaded: " + visible(piece.slice(0, 200)));
  });
  return make("pre", { class: "text", tabindex: "0", dir: "auto" }, pieces);
}

function toolCall(call) {
  const body = call.function ?? call;
  let given = body.arguments ?? body.input ?? "";
  try { given = JSON.stringify(JSON.parse(given), null, 2); } catch { /* it is shown as it is */ }
  return block("Calls " + visible(String(body.name ?? call.type ?? "a tool")), visible(asText(given)));
}

function criterionResult(result, criterion) {
  const name = visible(criterion?.name ?? result.name);
  const verdict = result.error ? statusOf("error") : statusOf(result.passed ? "pass" : "fail");
  const threshold = criterion?.threshold;
  const score = result.error ? "no score" : "score " + figure(result.score) + (threshold === undefined || threshold === null ? "" : `, passes from ${threshold}`);
  return make("div", { class: "verdict-of" },
    make("p", {}, verdict, " ", make("b", {}, make("bdi", {}, name)), " ", make("span", { class: "soft small" }, `${result.type ?? ""} · ${score}`)),
    result.error ? block(result.error.code, visible(result.error.message), true) : null,
    result.sub_scores ? fields(result.sub_scores) : null,
    result.printed ? block("Printed by the program", visible(asText(result.printed))) : null,
    result.sample ? judged(result.sample) : null);
}

// A judge's reasoning, step by step where it is in the form that judges are asked for.
function judged(sample) {
  const text = sample.output?.[0]?.content ?? "";
  let steps = null;
  try { steps = JSON.parse(text).steps; } catch { /* it is shown as it is */ }
  const reasoning = Array.isArray(steps) && steps.length
    ? make("ol", { class: "steps" }, steps.map(step => make("li", {}, visible(asText(step.description ?? step)), step.conclusion === undefined ? null : make("div", { class: "soft" }, visible(asText(step.conclusion))))))
    : block("The judge's answer", visible(text));
  const tokens = sample.usage ? ` · ${plural(sample.usage.total_tokens, "token")}` : "";
  return make("div", {}, reasoning, make("details", {}, make("summary", { class: "soft small" }, `what ${visible(sample.model ?? "the judge")} was asked and answered${tokens}`),
    (sample.input ?? []).map(message), block("Answer", visible(text))));
}

function fields(value) {
  return make("dl", { class: "fields" }, Object.entries(value ?? {}).map(([key, inner]) =>
    [make("dt", {}, visible(key)), make("dd", {}, rich(asText(inner)))]));
}
