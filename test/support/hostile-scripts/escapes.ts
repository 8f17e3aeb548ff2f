/** Ways out of the isolate that others had: each finds nothing. */
import { type Attacks, failingHook, looking, seeing } from "./attack.ts";

const NAMES =
  "process require module exports Buffer setTimeout fetch SharedArrayBuffer Atomics WebAssembly WeakRef FinalizationRegistry";
const NOT_DEFINED = "ReferenceError: process is not defined";
const NO_TAMPERING = /^TypeError: Cannot (?:assign to read only|redefine) property:? '?prepareStackTrace/;
/** Frames of the script, of V8 and of the guest runtime: none of the host. */
const OWN_FRAMES =
  /^\w*Error.*(?:\n {4}at (?:.* \()?(?:plugins\/[^/]+\.ts|sluice:guest|<anonymous>|eval at .*)(?::\d+:\d+)?\)?)*$/;

/** Asks the host at every depth of the stack, and gives the last trace with a name of the host's files in it. */
const deep = (ask: string): string => `{ request(req, ctx) {
  let found = "nothing";
  const look = (error) => { if (/core.script|node:|file:|node_modules/.test(String(error.stack))) found = error.stack; };
  const fall = () => { try { ${ask} } catch (error) { look(error); } fall(); };
  try { fall(); } catch (error) { look(error); }
  return ctx.reply({ body: found });
} }`;

export const ESCAPES: Attacks = {
  globals: looking(
    `"${NAMES}".split(" ").map((name) => typeof globalThis[name]).join()`,
    NAMES.split(" ")
      .map(() => "undefined")
      .join(),
  ),
  "constructor-request": looking('req.constructor.constructor("return process")()', NOT_DEFINED),
  "constructor-context": looking('ctx.constructor.constructor("return process")()', NOT_DEFINED),
  "constructor-host-function": looking('ctx.log.info.constructor("return process")()', NOT_DEFINED),
  "constructor-options": looking('ctx.options.constructor.constructor("return process")()', NOT_DEFINED),
  "constructor-bytes": looking(
    'ctx.crypto.randomBytes(1).constructor.constructor("return process")()',
    NOT_DEFINED,
  ),
  "constructor-error": looking(
    '(() => { try { new URL("::") } catch (e) { return e.constructor.constructor("return process")() } })()',
    NOT_DEFINED,
  ),
  "constructor-async": seeing(
    `{ async request(req, ctx) {
      const text = await (async () => {}).constructor("return process")().catch(String);
      return ctx.reply({ body: text });
    } }`,
    NOT_DEFINED,
  ),
  "constructor-generator": looking(
    '(function* () {}).constructor("return process")().next().value',
    NOT_DEFINED,
  ),
  eval: looking(
    '(0, eval)("typeof process + typeof require + typeof askHost + typeof guest")',
    "undefined".repeat(4),
  ),
  function: looking('Function("return this === globalThis && typeof this.process")()', "undefined"),
  import: seeing(
    "{ async request(req, ctx) { return ctx.reply({ body: await Function(\"return import('fs')\")().catch(String) }); } }",
    "Error: Not supported",
  ),
  "import-data": seeing(
    "{ async request(req, ctx) { return ctx.reply({ body: await Function(\"return import('data:text/javascript,1')\")().catch(String) }); } }",
    "Error: Not supported",
  ),
  // A hook of the script itself at most.
  callee: looking('Function("return String(arguments.callee.caller)")()', /^null$|^request\(req, ctx\)/),
  "caller-of-callers": looking(
    `Function("let f = arguments.callee, all = ''; for (let i = 0; f && i < 20; i++) { all += f; f = f.caller; } return /ask[H]ost|state[L]ine|create[R]equest/.test(all)")()`,
    /^TypeError|^false/,
  ),
  "trace-format": looking(
    '(Error.prepareStackTrace = (_, sites) => sites[0].getThis(), new Error("x").stack)',
    /^TypeError: Cannot assign|^Error: x\n {4}at /,
  ),
  "trace-format-defined": looking(
    'Object.defineProperty(Error, "prepareStackTrace", { value: (_, sites) => sites })',
    NO_TAMPERING,
  ),
  "trace-format-subclass": looking(
    "(() => { class E extends Error { static prepareStackTrace = (_, sites) => sites; } return typeof new E().stack; })()",
    "string",
  ),
  "trace-capture": looking(
    "(() => { const o = {}; Error.captureStackTrace(o); return o.stack; })()",
    OWN_FRAMES,
  ),
  "trace-host-call": looking(
    '(() => { try { new URL("::"); } catch (e) { return e.stack; } })()',
    OWN_FRAMES,
  ),
  "trace-limit": looking("(Error.stackTraceLimit = 1000, Error.stackTraceLimit)", /^TypeError|^10$/),
  "trace-deep-url": seeing(deep('new URL("::bad::");'), "nothing"),
  "trace-deep-now": seeing(deep("ctx.now();"), "nothing"),
  "trace-deep-log": seeing(deep('ctx.log.debug("x");'), "nothing"),
  "trace-deep-facts": seeing(deep("req.ip;"), "nothing"),
  "host-refusals": looking(
    '[() => new URL("::"), () => ctx.kv.get("a"), () => ctx.crypto.hash("md0", "a"), () => ctx.crypto.randomBytes(-1), () => ctx.metrics.counter("!").inc()].map((f) => { try { return String(f()); } catch (e) { return e.stack; } }).join()',
    /^(?!.*(?:core\/script|node:|file:|node_modules))/s,
  ),
  "private-fields": looking(
    "Object.getOwnPropertyNames(req).concat(Object.getOwnPropertyNames(ctx)).join()",
    "",
  ),
  "prototype-statics": looking(
    "Object.getOwnPropertyNames(req.constructor).concat(Object.getOwnPropertyNames(ctx.constructor)).join()",
    "length,name,prototype,length,name,prototype",
  ),
  "request-forged": looking('new req.constructor(0, { route: "x" }, "GET", "/", "", undefined).ip', /^Error/),
  "context-of-another-call": looking(
    'new ctx.constructor(1, { script: "x", secrets: ["a"] }, undefined).now()',
    /^Error|^\d+$/,
  ),
  "secret-of-nobody": looking("ctx.secrets.token", /not granted/),
  "fetch-without-grant": seeing(
    '{ async request(req, ctx) { return ctx.reply({ body: await ctx.fetch("http://127.0.0.1:9901/").catch(String) }); } }',
    /^Error: .*(?:grant|no fetch)/i,
  ),
  "kv-without-grant": seeing(
    '{ async request(req, ctx) { return ctx.reply({ body: String(await ctx.kv.get("a").catch(String)) }); } }',
    /^Error: .*grant/,
  ),
  "reference-returned": failingHook("return ctx.log;", "SCRIPT_THREW"),
  "function-returned": failingHook("return () => {};", "SCRIPT_THREW"),
};
