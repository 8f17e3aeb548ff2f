/** What is said of a listener that could not be opened. */
import { ConfigError } from "./errors.ts";

const LISTEN_ERRORS: Record<string, string> = {
  EADDRINUSE: "is in use by another process",
  EACCES: "may not be used without more rights (ports below 1024 often need them)",
  EADDRNOTAVAIL: "is not an address of this machine",
  ENOTFOUND: "is not a known host",
};

/**
 * A listener that could not be opened, as a problem of the configuration: one clear line.
 * @param pointer where the address is written
 */
export function listenError(error: unknown, address: string, pointer: string): ConfigError {
  const { code, message: text } = error as NodeJS.ErrnoException;
  const reason = LISTEN_ERRORS[code ?? ""] ?? `cannot be listened on: ${text}`;
  return new ConfigError(`The address ${address} ${reason}`, pointer, "CONFIG_LISTEN");
}
