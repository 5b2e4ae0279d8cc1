import { expect, it } from 'vitest';
import { serviceTrafficPage } from '../../support/service-traffic-page.js';

it('the page about service traffic says what the rules are made of', async () => {
  // `npx vitest run test/unit/compiler/service-traffic.test.ts -u` writes the page: read what changed before you commit it.
  await expect(serviceTrafficPage()).toMatchFileSnapshot('../../../docs/service-traffic.md');
});
