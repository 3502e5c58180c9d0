import { make } from "./dom.js";
import { go } from "./router.js";
import { call } from "./server.js";

// Grade a run's stored samples with other criteria: nothing is sampled again.
export function regradeForm(run, criteria) {
  const given = criteria.map(({ id, threshold, ...one }) => one);
  const text = make("textarea", { id: "criteria", rows: "16", spellcheck: "false", "aria-label": "Testing criteria as JSON" });
  text.value = JSON.stringify(given, null, 2);
  const said = make("p", { class: "bad", role: "alert" });

  async function submit(event) {
    event.preventDefault();
    said.textContent = "";
    let changed;
    try { changed = JSON.parse(text.value); } catch (error) { said.textContent = "Not JSON: " + error.message; return; }
    try {
      const made = await call("POST", `/v1/evals/${run.eval_id}/runs/${run.id}/regrade`, { testing_criteria: changed });
      go(`/evals/${made.eval_id}?run_id=${made.id}`);
    } catch (error) { said.textContent = error.message; }
  }

  return make("section", {}, make("details", {}, make("summary", {}, make("b", {}, "Edit the criteria and grade again")),
    make("form", { class: "card", submit }, make("p", { class: "soft small" }, "The samples of this run are graded as a new eval. No model is asked for samples."),
      text, said, make("button", { class: "main" }, "Grade again"))));
}
