import { expect, it } from 'vitest';
import { goldenText } from '../../support/golden.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';

it.each(Object.entries(NAMED_TOPOLOGIES).map(([name, { about }]) => [name, about]))('%s: %s', async (name) => {
  // `npx vitest run test/unit/compiler/golden.test.ts -u` rewrites the files: read what changed before you commit it.
  await expect(goldenText(name)).toMatchFileSnapshot(`../../golden/${name}.nft`);
});
