// Idempotency keys are UUIDv7: unique without a server, and sorted by the time of creation.

let last = 0;

export function uuidv7(): string {
  // No millisecond is used twice, so the keys of one client sort in the order of creation.
  last = Math.max(Date.now(), last + 1);
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  const hex = last.toString(16).padStart(12, "0") + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const variant = "89ab"[bytes[2]! & 3]!;
  return hex.replace(/(.{8})(.{4}).(.{3}).(.{3})/, `$1-$2-7$3-${variant}$4-`);
}
