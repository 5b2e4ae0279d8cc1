import { expect, it } from 'vitest';
import { DATAPATHS, type Datapath } from '../../../compiler/index.js';
import { fixedText, goldenText, namedCompilation } from '../../support/golden.js';
import { goldenDifference } from '../../support/golden-difference.js';
import { NAMED_TOPOLOGIES } from '../../support/named-topologies.js';

// `npx vitest run test/unit/compiler/golden.test.ts -u` rewrites the files: read what changed before you commit it.

const fixedFile = (datapath: Datapath): string => `fixed-${datapath}.nft`;

it.each(DATAPATHS)('what is there without any port (%s)', async (datapath) => {
  await expect(fixedText(datapath)).toMatchFileSnapshot(`../../golden/${fixedFile(datapath)}`);
});

it.each(Object.entries(NAMED_TOPOLOGIES).map(([name, { about }]) => [name, about]))('%s: %s', async (name) => {
  const { datapath } = namedCompilation(name).options;
  const text = goldenDifference(goldenText(name), fixedText(datapath), fixedFile(datapath));
  await expect(text).toMatchFileSnapshot(`../../golden/${name}.nft`);
});
