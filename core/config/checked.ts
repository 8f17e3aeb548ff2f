/** What a configuration is once it is checked: the types that the rest of the gateway builds from. */
import type { FromSchema } from "json-schema-to-ts";
import type { ConsumerRecord } from "../consumers.ts";
import type { ScriptBundle, StageScript } from "../script/script.ts";
import type { adminSchema, listenerSchema, routeSchema } from "./schema.ts";
import type { memoryStoreSchema, redisClusterStoreSchema, redisStoreSchema } from "./stores-schema.ts";
import type { auditSchema } from "./audit-schema.ts";
import type { overloadSchema } from "./overload-schema.ts";
import type { upstreamSchema } from "./upstream-schema.ts";
import type { pathMatchSchema, valueMatchSchema } from "./condition-schema.ts";

/** Options of one listener, defaults filled in. */
export type ListenerConfig = FromSchema<typeof listenerSchema>;
/** Options of the admin listener, defaults filled in. */
export type AdminConfig = FromSchema<typeof adminSchema>;
/** Which audit events are written down, defaults filled in. */
export type AuditConfig = FromSchema<typeof auditSchema>;
/** When to shed load, and whose, defaults filled in. */
export type OverloadConfig = FromSchema<Omit<typeof overloadSchema, "anyOf">>;
/** An upstream as configured, defaults filled in. */
export type UpstreamConfig = FromSchema<typeof upstreamSchema>;
/** Targets as configured: a list, or where to find them. */
export type TargetsConfig = UpstreamConfig["targets"];
/** Active health checks as configured, defaults filled in. */
export type ActiveHealthConfig = NonNullable<UpstreamConfig["health"]["active"]>;
/** Passive health as configured, defaults filled in. */
export type PassiveHealthConfig = NonNullable<UpstreamConfig["health"]["passive"]>;
/** TLS to targets as configured. */
export type TargetTlsConfig = NonNullable<UpstreamConfig["tls"]>;
/** A store in memory, defaults filled in. */
export type MemoryStoreConfig = FromSchema<typeof memoryStoreSchema>;
/** A store in Redis, defaults filled in. */
export type RedisStoreConfig = FromSchema<typeof redisStoreSchema>;
/** A store in a Redis cluster, defaults filled in. */
export type RedisClusterStoreConfig = FromSchema<typeof redisClusterStoreSchema>;
/** A store as configured. */
export type StoreConfig = MemoryStoreConfig | RedisStoreConfig | RedisClusterStoreConfig;
/** How a header or query parameter is compared. */
export type ValueMatch = FromSchema<typeof valueMatchSchema>;
/** How a path is matched. */
export type PathMatch = FromSchema<typeof pathMatchSchema>;
/** What a stage does when it fails itself, complete. */
export type OnError = "fail" | "skip" | { status: number; body: string };
/** A stage's `when`. */
export interface Condition {
  method?: string | string[];
  path?: PathMatch;
  header?: Record<string, ValueMatch>;
  query?: Record<string, ValueMatch>;
  consumer?: boolean | string | string[];
  not?: Condition;
  /** Conditions of the `use` stages this one came through. */
  all?: Condition[];
}
/** A stage of a checked configuration: no `use` any more, options complete. */
export interface StageConfig {
  /** Plugin to build. */
  plugin: string;
  /** Name in logs and metrics. */
  name: string;
  when?: Condition;
  onError: OnError;
  /** The plugin's options, checked against its schema, defaults filled in. */
  options: Record<string, unknown>;
  /** Set when the stage is a script. */
  script?: StageScript;
  /** JSON Pointer to where the stage is written, for messages: in a route, in a pipeline, or a route's `upstream`. */
  pointer: string;
}

/** A route of a checked configuration, its pipeline flat. */
export interface RouteConfig
  extends Omit<FromSchema<typeof routeSchema>, "pipeline" | "upstream" | "rateLimits"> {
  stages: StageConfig[];
  /** JSON Pointer to the route in the configuration, for messages. */
  pointer: string;
}

/**
 * A configuration that passed every check that can be made without building: plain data, which any thread can
 * be sent and can build a generation from.
 */
export interface CheckedConfig {
  listeners: ListenerConfig[];
  admin: AdminConfig | undefined;
  log: {
    level: "debug" | "info" | "warn" | "error" | "silent";
    format: "auto" | "json" | "pretty";
    access: boolean;
    stageTimings: boolean;
  };
  threads: number | "auto";
  audit: AuditConfig | undefined;
  overload: OverloadConfig | undefined;
  drainTimeoutMs: number;
  upstreams: Record<string, UpstreamConfig>;
  /** `main` is always there. */
  stores: Record<string, StoreConfig>;
  /** Who is known, without secrets. */
  consumers: readonly ConsumerRecord[];
  /** Scripts that stages are, by version. */
  scripts: Record<string, ScriptBundle>;
  routes: RouteConfig[];
  /** Folder of the main file; relative paths in options start here. */
  baseDir: string;
  /** Content hash of everything the configuration was made of. */
  hash: string;
}
