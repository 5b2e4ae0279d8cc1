/** What most tests of the agent begin with. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { Lab, type LabPort } from './lab.js';
import { TestAgent } from './test-agent.js';

/**
 * One lab for all tests of a file or a block, and for each of them an agent in it that nobody has started.
 * @param begin is called before each of them; the lab is as new then.
 */
export function eachWithAgent(ports: readonly LabPort[], begin: (lab: Lab, agent: TestAgent) => void): void {
  let lab: Lab;
  let agent: TestAgent;
  beforeAll(async () => {
    lab = await Lab.create(ports);
  });
  afterAll(async () => {
    await lab.destroy();
  });
  beforeEach(async () => {
    await lab.renew();
    agent = new TestAgent(lab.host);
    begin(lab, agent);
  });
  afterEach(async () => {
    await agent.destroy();
  });
}
