// Specs to begin with, each with a sample and an item.
const JUDGE_MESSAGE = { role: "user", content: "How helpful is this answer, from 0 to 1?\n\n{{sample.output_text}}" };
export const EXAMPLES = {
  multi: [
    { type: "multi", name: "answer",
      graders: {
        exact: { type: "string_check", name: "exact", operation: "eq", input: "{{sample.output_text}}", reference: "{{item.answer}}" },
        close: { type: "text_similarity", name: "close", evaluation_metric: "fuzzy_match", input: "{{sample.output_text}}", reference: "{{item.answer}}" } },
      calculate_output: "0.7 * exact + 0.3 * close" }, "The capital is Paris.", { answer: "Paris" }],
  string_check: [
    { type: "string_check", name: "contains", operation: "ilike", input: "{{sample.output_text}}", reference: "{{item.answer}}" },
    "The capital is Paris.", { answer: "paris" }],
  text_similarity: [
    { type: "text_similarity", name: "close", evaluation_metric: "rouge_l", input: "{{sample.output_text}}", reference: "{{item.summary}}" },
    "The cat lay on the mat.", { summary: "The cat sat on the mat." }],
  python: [
    { type: "python", name: "number",
      source: "def grade(sample, item):\n    try:\n        found = float(sample['output_text'].split()[-1])\n    except (IndexError, ValueError):\n        return 0.0\n    return 1.0 if abs(found - item['answer']) < 1e-6 else 0.0\n" },
    "The answer is 42", { answer: 42 }],
  score_model: [
    { type: "score_model", name: "helpful", model: "gpt-4.1-mini", input: [JUDGE_MESSAGE], range: [0, 1] },
    "Paris is the capital of France.", {}],
  label_model: [
    { type: "label_model", name: "tone", model: "gpt-4.1-mini", input: [{ role: "user", content: "Is the tone kind or rude?\n\n{{sample.output_text}}" }],
      labels: ["kind", "rude"], passing_labels: ["kind"] },
    "Thank you, gladly.", {}],
};
