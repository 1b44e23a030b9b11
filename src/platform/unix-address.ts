/** `struct sockaddr_un` (unix(7)): a path, or with a leading `@` a name in the abstract namespace, as systemd writes it. */

const AF_UNIX = 1;

export function unixAddress(path: string): Uint8Array {
  const name = new TextEncoder().encode(path);
  const abstract = path.startsWith('@');
  const address = new Uint8Array(2 + name.length + (abstract ? 0 : 1));
  address[0] = AF_UNIX;
  address.set(name, 2);
  if (abstract) address[2] = 0;
  return address;
}
