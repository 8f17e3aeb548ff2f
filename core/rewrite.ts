/** What a route makes of the path that goes upstream. */
import type { RouteConfig } from "./config/checked.ts";
import { ConfigError, GatewayError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { collapseSlashes, hasDotSegments, staticPrefix } from "./path.ts";
import { compileTemplate, encodePath } from "./template.ts";

/**
 * Compiles `rewrite` and `stripPrefix`. Gives undefined when the path stays.
 * @throws ConfigError with a pointer relative to the route
 */
export function compileRewrite(config: RouteConfig): ((x: Exchange) => void) | undefined {
  if (config.rewrite !== undefined) {
    if (config.stripPrefix !== false)
      throw new ConfigError("A route has either `rewrite` or `stripPrefix`, not both", "/stripPrefix");
    let template: ReturnType<typeof compileTemplate>;
    try {
      template = compileTemplate(config.rewrite, encodePath);
    } catch (error) {
      throw error instanceof ConfigError ? new ConfigError(error.message, "/rewrite") : error;
    }
    return (x) => {
      const path = template(x) ?? "/";
      if (hasDotSegments(path) || !path.startsWith("/")) throw new GatewayError("REQUEST_TARGET_INVALID");
      x.path = path;
    };
  }
  const { stripPrefix } = config;
  if (stripPrefix === false) return undefined;
  if (stripPrefix === true) {
    const path = config.match.path ?? "/*";
    if (typeof path !== "string" || staticPrefix(path) === undefined) {
      throw new ConfigError(
        "`stripPrefix: true` needs one path that ends in `/*` and has no parameters; write the prefix instead",
        "/stripPrefix",
      );
    }
    return (x) => {
      x.path = `/${x.params["*"]}`;
    };
  }
  const prefix = stripPrefix.replace(/\/$/, "");
  return (x) => {
    const path = collapseSlashes(x.path);
    if (path === prefix) x.path = "/";
    else if (path.startsWith(`${prefix}/`)) x.path = path.slice(prefix.length);
  };
}
