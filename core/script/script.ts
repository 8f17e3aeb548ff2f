/** A script as the configuration has it: plain data, which every thread is sent and builds from. */
import type { JsonSchema } from "../plugin.ts";
import type { BodyKind } from "./plugin-api.ts";

/** What a script says of itself, found out by running its top level in an isolate. */
export interface ScriptManifest {
  /** Of the options; a closed object, also when the author gave none. */
  readonly schema: JsonSchema;
  readonly hooks: { readonly request: boolean; readonly response: boolean };
  readonly body: {
    readonly request: BodyKind | undefined;
    readonly response: BodyKind | undefined;
    readonly maxBytes: number;
  };
}

/** A script that was bundled and found sound. */
export interface ScriptBundle {
  /** Name of the plugin: of its file, or of the stage for one in the configuration itself. */
  readonly name: string;
  /** SHA-256 of the name and the code, in hex: another version is another script. */
  readonly version: string;
  /** Where it is, as messages have it: from the folder of the configuration. */
  readonly file: string;
  /** One classic script that evaluates to what the file exports: `({ default: … })`. */
  readonly code: string;
  /** Source map (version 3) of the code, as JSON; `sources` are as {@link file} is. */
  readonly map: string;
  readonly manifest: ScriptManifest;
}

/** What a stage lets its script use. */
export interface ScriptLimits {
  /** Milliseconds that a hook may run at a stretch. */
  readonly cpuMs: number;
  /** Heap of the isolate. */
  readonly memoryBytes: number;
  /** Milliseconds until a hook must have settled, waiting included. */
  readonly wallMs: number;
}

/** Servers that a script may ask. */
export interface FetchGrant {
  /** `api.example.com`, `*.example.com` for any name below, each with an optional `:port`. */
  readonly hosts: readonly string[];
  /** Addresses and CIDR ranges that are allowed although they are not public. */
  readonly privateAddresses: readonly string[];
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
  /** Requests of one hook. */
  readonly maxRequests: number;
}

export interface KvGrant {
  /** Name of a store of the configuration. */
  readonly store: string;
  /** What its keys are kept apart by from those of others. */
  readonly namespace: string;
}

/** What a stage lets its script reach. */
export interface ScriptGrants {
  readonly fetch: FetchGrant | undefined;
  readonly kv: KvGrant | undefined;
  /** Values by name. */
  readonly secrets: Readonly<Record<string, string>>;
}

/** The part of a stage that is there for a script only. */
export interface StageScript {
  /** Which of the configuration's scripts. */
  readonly version: string;
  readonly limits: ScriptLimits;
  readonly grants: ScriptGrants;
}

/** The number that shared memory has for a script: never 0. */
export function scriptId(version: string): number {
  return Number.parseInt(version.slice(0, 7), 16) + 1;
}
