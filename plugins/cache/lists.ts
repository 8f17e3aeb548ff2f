/** Lists in fields (RFC 9110 section 5.6.1). */

/**
 * Splits at commas, but not at those in quoted strings, and leaves out empty members and the blanks around others. A
 * quote that is never closed is taken for an ordinary character, so that it hides nothing that follows.
 */
export function splitList(value: string, keepsEmpty = false): string[] {
  const members: string[] = [];
  let start = 0;
  let hasQuotes = true;
  for (let i = 0; i < value.length; i++) {
    const char = value[i];
    if (char === '"' && hasQuotes) {
      const close = closingQuote(value, i);
      // If this one is never closed, none behind it is: to look again for each would take long.
      hasQuotes = close !== i;
      i = close;
    } else if (char === ",") {
      addMember(members, value.slice(start, i), keepsEmpty);
      start = i + 1;
    }
  }
  addMember(members, value.slice(start), keepsEmpty);
  return members;
}

function addMember(members: string[], text: string, keepsEmpty: boolean): void {
  const member = text.trim();
  if (keepsEmpty || member !== "") members.push(member);
}

/** Where the quoted string that opens at `open` ends; `open` itself when it does not. */
function closingQuote(value: string, open: number): number {
  for (let i = open + 1; i < value.length; i++) {
    if (value[i] === "\\") i++;
    else if (value[i] === '"') return i;
  }
  return open;
}
