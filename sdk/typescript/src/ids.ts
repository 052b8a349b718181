// Idempotency keys are UUIDv7: unique without a server, and sorted by the time of creation.

/** The time of the last key, in steps of which a millisecond has 1,024. */
let last = 0;

/** Keys from now on sort behind this one, even if the clock of the device was set back since. */
export function goBehind(key: string): void {
  last = Math.max(last, (parseInt(key.replace("-", ""), 16) + 1) * 1024 || 0);
}

export function uuidv7(): string {
  // No step is used twice, so the keys of one client sort in the order of creation.
  last = Math.max(Date.now() * 1024, last + 1);
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  const hex = (last * 4).toString(16).padStart(15, "0") + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{3}).(.{3})/, "$1-$2-7$3-8$4-");
}
