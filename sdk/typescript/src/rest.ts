// `chat.rest.<operationId>(…)`: every operation of the OpenAPI document, typed, with the token, an idempotency key and
// retries. The types are generated. At run time there is only a table and one function.

import { VerbatimError, asError, type Code } from "./errors.js";
import type { operations } from "./generated/api.js";
import type { ADMIN } from "./generated/admin.js";
import { OPERATIONS } from "./generated/operations.js";
import { uuidv7 } from "./ids.js";
import type { Token } from "./token.js";
import { LONGEST, pause, retryAfter, sleep } from "./wait.js";

export type Operation = keyof typeof OPERATIONS;
export type AnyOperation = Operation | keyof typeof ADMIN;

type Part<P, Name extends string> = P extends { [N in Name]?: infer Values } ? ([Values] extends [never | undefined] ? unknown : NonNullable<Values>) : unknown;
type Json<T> = T extends { content: { "application/json": infer Body } } ? Body : undefined;
type Body<O> = O extends { requestBody: infer R } ? { body: Json<R> }
  : O extends { requestBody?: infer R } ? ([R] extends [never | undefined] ? unknown : { body?: Json<NonNullable<R>> })
  : unknown;

/** The parameters of the path and the query by name, and `body`. */
export type Input<Name extends AnyOperation> = Part<operations[Name]["parameters"], "path"> &
  Part<operations[Name]["parameters"], "query"> &
  Body<operations[Name]>;
export type Output<Name extends AnyOperation> = {
  [Status in keyof operations[Name]["responses"]]: Json<operations[Name]["responses"][Status]>;
}[keyof operations[Name]["responses"]];

export interface Options {
  /** The key for all attempts of a call. Without it the client creates one for each call. */
  idempotencyKey?: string;
  /** For a program that acts for a user: the id of the user, or `ext:` and the external id. */
  onBehalfOf?: string;
  signal?: AbortSignal;
}

export type Functions<Names extends AnyOperation> = {
  [Name in Names]: object extends Input<Name>
    ? (input?: Input<Name>, options?: Options) => Promise<Output<Name>>
    : (input: Input<Name>, options?: Options) => Promise<Output<Name>>;
};

export type Rest = Functions<Operation>;

/** A response body with the position from its headers. */
export interface Answer<T> {
  body: T;
  position: number;
}

/** Sends a request for a row of the table of operations. */
export interface Sender {
  (row: string, input: object, options?: Options): Promise<Answer<unknown>>;
}

export interface Caller {
  <Name extends Operation>(name: Name, input: Input<Name>, options?: Options): Promise<Answer<Output<Name>>>;
}

const ATTEMPTS = 6;

export function sender(url: string, token: Token, fetcher: typeof fetch): Sender {
  return async (row, input, options = {}) => {
    const [path = "", method = "GET", marks = ""] = row.split(" ");
    const { target, init } = request(`${url}/v1${path}`, method, input as Record<string, unknown>, options.signal);
    // A body may have a key of its own, and the server refuses two different ones.
    const { body } = input as { body?: { client_id?: string } };
    if (marks.includes("#")) init.headers["Idempotency-Key"] = options.idempotencyKey ?? body?.client_id ?? uuidv7();
    if (options.onBehalfOf) init.headers["Verbatim-On-Behalf-Of"] = options.onBehalfOf;
    let refused = false;
    for (let attempt = 0; ; attempt++) {
      options.signal?.throwIfAborted();
      const bearer = marks.includes("!") ? undefined : await token.get();
      if (bearer) init.headers["Authorization"] = `Bearer ${bearer}`;
      try {
        return await answer(await fetcher(target, init));
      } catch (thrown) {
        if (options.signal?.aborted) throw thrown;
        const error = asError(thrown);
        if (error.code === "token_expired" && bearer && !refused) {
          refused = true;
          await token.refused(bearer);
          continue;
        }
        // Some limits last for hours. The caller decides whether to wait so long.
        const again = error.retryable && (!marks.includes("*") || error.status === 429) && !(error.retryAfterMs! > LONGEST);
        if (!again || attempt + 1 >= ATTEMPTS) throw error;
        await sleep(pause(attempt, error.retryAfterMs), options.signal);
      }
    }
  };
}

export function functions<Names extends AnyOperation>(rows: Record<Names, string>, send: Sender): Functions<Names> {
  const all = Object.entries<string>(rows).map(([name, row]) => [
    name,
    async (input: object = {}, options?: Options) => (await send(row, input, options)).body,
  ]);
  return Object.fromEntries(all) as Functions<Names>;
}

function request(target: string, method: string, input: Record<string, unknown>, signal: AbortSignal | null = null) {
  const { body, ...parameters } = input;
  const url = target.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = parameters[name] as string;
    delete parameters[name];
    return encodeURIComponent(value);
  });
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  const query = String(new URLSearchParams(given as string[][]));
  const headers: Record<string, string> = body ? { "Content-Type": "application/json" } : {};
  return { target: query ? `${url}?${query}` : url, init: { method, headers, body: JSON.stringify(body), signal } };
}

/** The answer of the server, or the error that it tells. */
async function answer(response: Response): Promise<Answer<unknown>> {
  let { ok } = response;
  const { status, headers } = response;
  const more = { status, retryAfterMs: retryAfter(headers.get("Retry-After")) };
  const text = await response.text();
  let body;
  try {
    body = text ? JSON.parse(text) : undefined;
  } catch {
    // What the server says is JSON: a proxy has answered.
    ok = false;
  }
  if (ok) return { body, position: Number(headers.get("Verbatim-Position")) };
  const { code, detail, request_id: requestId, errors } = body ?? {};
  if (typeof code === "string") throw new VerbatimError(code as Code, detail, { ...more, requestId, errors });
  throw new VerbatimError("not_verbatim", `the server answered ${status}`, { ...more, retryable: status === 429 || status > 500 });
}
