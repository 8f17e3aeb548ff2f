/**
 * Runs a script of its own: a file that is no plugin of the folder, or a few lines in the configuration itself.
 *
 * Stands anywhere and calls next, unless the script answers. What a script is, may do and costs is said in
 * core/script; `limits` and `grants` are keys of the stage. `file` and `source` exclude each other; `options` are
 * checked against the schema that the script exports. A script that fails is the stage failing (`onError`).
 */
import { ConfigError, type FromSchema, type JsonSchema, type Plugin } from "../core/plugin.ts";

const schema = {
  type: "object",
  description: "Runs a script that is a file, or that is written in the configuration.",
  properties: {
    file: {
      type: "string",
      minLength: 1,
      description: "TypeScript or JavaScript file, from the main file's folder.",
    },
    source: { type: "string", minLength: 1, description: "The script itself, in TypeScript." },
    options: { type: "object", default: {}, description: "Options of the script, as its schema has them." },
  },
  oneOf: [{ required: ["file"] }, { required: ["source"] }],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const script: Plugin<Options> = {
  name: "script",
  schema,
  build() {
    // The core builds stages that are scripts, those of plugin files too, from what loading made of them.
    throw new ConfigError("A script can only be built from a configuration that was loaded");
  },
};
