import { make, visible } from "./dom.js";

// Words that differ between two texts.
const DIFF_MAX_WORDS = 1200;

// A word and the blanks after it; scripts that set no blanks are taken by the character.
const WORD = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]\s*|[^\s\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]+\s*|^\s+/gu;

// A longest common subsequence of words, after equal ends are set aside. Longer texts are shown as they are.
export function diff(output, reference) {
  const a = output.match(WORD) || [], b = reference.match(WORD) || [];
  const left = a.map(word => word.trim()), right = b.map(word => word.trim());
  let start = 0, end = 0;
  while (start < a.length && start < b.length && left[start] === right[start]) start++;
  while (end < a.length - start && end < b.length - start && left[a.length - 1 - end] === right[b.length - 1 - end]) end++;
  const x = left.slice(start, a.length - end), y = right.slice(start, b.length - end);
  if (x.length > DIFF_MAX_WORDS || y.length > DIFF_MAX_WORDS) return { output: visible(output), reference: visible(reference), compared: false };
  const wide = y.length + 1, best = new Uint16Array((x.length + 1) * wide);
  for (let i = x.length - 1; i >= 0; i--)
    for (let j = y.length - 1; j >= 0; j--)
      best[i * wide + j] = x[i] === y[j] ? best[(i + 1) * wide + j + 1] + 1 : Math.max(best[(i + 1) * wide + j], best[i * wide + j + 1]);
  const inX = new Array(x.length).fill(false), inY = new Array(y.length).fill(false);
  for (let i = 0, j = 0; i < x.length && j < y.length;) {
    if (x[i] === y[j]) { inX[i++] = true; inY[j++] = true; }
    else if (best[(i + 1) * wide + j] >= best[i * wide + j + 1]) i++;
    else j++;
  }
  const marked = (words, kept, tag) => {
    const pieces = [];
    words.forEach((word, n) => {
      const inside = n >= start && n < words.length - end;
      const off = inside && !kept[n - start];
      const last = pieces[pieces.length - 1];
      if (last && last.off === off) last.text += word; else pieces.push({ off, text: word });
    });
    return pieces.flatMap(({ off, text }) => off
      ? [make(tag, {}, visible(text.trimEnd())), visible(text.slice(text.trimEnd().length))] : [visible(text)]);
  };
  return { output: marked(a, inX, "ins"), reference: marked(b, inY, "del"), compared: true };
}
