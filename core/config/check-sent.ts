/** Checks what operators send against a schema. */
import { ConfigError } from "../errors.ts";
import type { JsonSchema } from "../plugin.ts";
import { explainErrors } from "./explain.ts";
import { createValidator } from "./validate.ts";

/** @throws ConfigError with pointers into what was sent */
export function checkSent(schema: JsonSchema, sent: unknown): void {
  const context = { root: schema, base: "", isHidden: () => false, onSecret: () => {} };
  const problems = explainErrors(createValidator(schema)(sent), context);
  if (problems.length === 0) return;
  throw new ConfigError(
    problems.map(({ code, message, pointer, suggestion }) => ({
      code,
      message,
      pointer,
      ...(suggestion === undefined ? {} : { suggestion }),
    })),
  );
}
