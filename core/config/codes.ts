/** Every code of a configuration problem, with what it means. `docs/errors.md` documents each. */
export const CONFIG_CODES = {
  CONFIG_NOT_FOUND: "The configuration file does not exist.",
  CONFIG_UNREADABLE: "A file cannot be read as text: permissions, encoding, size.",
  CONFIG_SYNTAX: "A file is not valid YAML or JSON, or uses a part of YAML that is not supported.",
  CONFIG_DUPLICATE_KEY: "A map has the same key twice.",
  CONFIG_UNKNOWN_KEY: "A key that nothing reads.",
  CONFIG_MISSING_KEY: "A key that must be there is not.",
  CONFIG_TYPE: "A value is of the wrong kind, such as text where a list is expected.",
  CONFIG_VALUE: "A value is of the right kind but not one that is allowed.",
  CONFIG_UNIT: "A duration, size or percentage is not written with a known unit.",
  CONFIG_PATTERN: "A text does not have the form that is expected.",
  CONFIG_ENV_MISSING: "An environment variable is not set and has no default.",
  CONFIG_FILE_MISSING: "A file named by `${file:…}` cannot be read.",
  CONFIG_INTERPOLATION: "A `${…}` is not one of the known forms.",
  CONFIG_INCLUDE: "An included file does not exist, or includes itself.",
  CONFIG_DUPLICATE_NAME: "Two things have the same name.",
  CONFIG_UNKNOWN_PLUGIN: "A stage names a plugin that does not exist.",
  CONFIG_UNKNOWN_UPSTREAM: "Something names an upstream that does not exist.",
  CONFIG_UNKNOWN_STORE: "Something names a store that does not exist.",
  CONFIG_UNKNOWN_PIPELINE: "A `use` names a pipeline that does not exist.",
  CONFIG_PIPELINE_VERSION:
    "A pipeline's version, or the range that a `use` asks for, is invalid or does not match.",
  CONFIG_PIPELINE_CYCLE: "A pipeline uses itself, directly or through others.",
  CONFIG_NO_TERMINAL: "A route has nothing that answers its requests.",
  CONFIG_UNREACHABLE: "A stage can never run, because one before it always answers.",
  CONFIG_REGEX: "A regular expression is not valid.",
  CONFIG_ADDRESS: "An address cannot be listened on, or two listeners share it.",
  CONFIG_LISTEN: "The system refuses to listen on an address, such as one that is in use.",
  CONFIG_ADMIN_EXPOSED: "The admin listener is open to other machines and has no token.",
  CONFIG_TARGET_URL: "A target is not a URL that requests can be sent to.",
  CONFIG_UNRESOLVED:
    "The name of a target does not resolve, or no targets were found: an error with `onUnresolved: fail`, else a warning.",
  CONFIG_CERTIFICATE: "A certificate or a private key cannot be used.",
  CONFIG_CIDR: "An entry of a list of addresses is neither an address nor a CIDR range.",
  CONFIG_OPTION_INVALID: "A plugin refuses one of its options.",
  CONFIG_SCRIPT_TYPES: "The types of a script do not fit; only `sluice check` looks at them.",
  CONFIG_ROUTE_CONFLICT: "Two routes match the same requests and neither is more specific.",
} as const satisfies Record<string, string>;

/** The code of a configuration problem. Stable. */
export type ConfigCode = keyof typeof CONFIG_CODES;
