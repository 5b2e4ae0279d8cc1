/** What no message is made of: nft(8) sends it. */
export class NotEncodable extends Error {
  override readonly name = 'NotEncodable';

  constructor(what: string) {
    super(`netlink: ${what} cannot be sent without nft`);
  }
}
