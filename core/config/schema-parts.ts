/** What schemas of several parts of a configuration are made of. */

/** A text that is not empty. */
export const text = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, description }) as const;

/** A TCP port. */
export const port = <const X extends string>(description: X) =>
  ({ type: "integer", minimum: 1, maximum: 65535, description }) as const;
