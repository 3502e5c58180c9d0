import { make } from "./dom.js";
import { go } from "./router.js";
import { call } from "./server.js";
import { plural } from "./charts.js";

// A place where a file is dropped, or chosen by keyboard; `take` gets it and gives back what to say.
export function dropZone(text, take) {
  const said = make("span", { role: "status", class: "soft" });
  const chosen = make("input", { type: "file", class: "away", change: () => chosen.files[0] && use(chosen.files[0]) });
  const zone = make("div", { class: "drop" }, make("label", { class: "quiet" }, "Choose a file", chosen), make("span", { class: "soft" }, text), said);

  async function use(file) {
    said.textContent = `${file.name} is being sent…`;
    said.className = "soft";
    try {
      said.textContent = await take(file);
    } catch (error) {
      said.textContent = error.message;
      said.className = "bad";
    }
  }

  zone.addEventListener("dragover", event => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", event => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files[0]) use(event.dataTransfer.files[0]);
  });
  return zone;
}

function formOf(file, purpose) {
  const form = new FormData();
  form.append("purpose", purpose);
  form.append("file", file, file.name);
  return form;
}

// Evals and runs from elsewhere.
export async function importFile(file) {
  const found = await call("POST", "/pages/imports", formOf(file, "evals"));
  if (found.eval_id && found.runs) go("/evals/" + found.eval_id);
  return `${plural(found.evals, "eval")}, ${plural(found.runs, "run")}, ${plural(found.items, "item")}; ${found.known} were here already.`;
}

// A run over rows of a file that bring their samples.
export async function runFile(evalId, file) {
  const { id } = await call("POST", "/v1/files", formOf(file, "evals"));
  const source = { type: "jsonl", source: { type: "file_id", id } };
  const run = await call("POST", `/v1/evals/${evalId}/runs`, { name: file.name, data_source: source });
  go(`/evals/${evalId}?run_id=${run.id}`);
  return "";
}
