// Parses the text format of OpenMetrics, and depends as little as possible on specific metrics.

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** All samples, without their common prefix. Lines that cannot be parsed are skipped. */
export function parse(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    const [, name, labels = "", value] = (line.startsWith("#") ? null : LINE.exec(line)) ?? [];
    if (!name || Number.isNaN(Number(value))) continue;
    const pairs = [...labels.matchAll(LABEL)].map(([, key, text]) => [key!, text!.replace(/\\(.)/g, (_, one) => (one === "n" ? "\n" : one))]);
    samples.push({ name: name.replace(/^verbatim_/, ""), labels: Object.fromEntries(pairs), value: Number(value) });
  }
  return samples;
}

/** The sum of a metric over all its labels; `undefined` if there is no such metric. */
export function sum(samples: readonly Sample[], name: string): number | undefined {
  const all = samples.filter((sample) => sample.name === name);
  return all.length === 0 ? undefined : all.reduce((total, { value }) => total + value, 0);
}

/** The samples of a metric, by the value of their first label. */
export function by(samples: readonly Sample[], name: string): Array<[label: string, value: number]> {
  return samples.filter((sample) => sample.name === name).map(({ labels, value }) => [Object.values(labels)[0] ?? "", value]);
}
