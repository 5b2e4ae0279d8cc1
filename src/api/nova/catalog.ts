/**
 * Flavors and images: what `openstack server create` looks up before it asks for a server. Nothing is run here, so there is
 * one image, and flavors are the usual names.
 */
import type { FastifyInstance } from 'fastify';
import { ApiError } from '../errors.js';
import { baseUrl, callerOf, parameter, parametersOf } from '../service.js';

interface Flavor {
  readonly id: string;
  readonly name: string;
  readonly vcpus: number;
  /** MiB. */
  readonly ram: number;
  /** GiB. */
  readonly disk: number;
}

const FLAVORS: readonly Flavor[] = [
  { id: '1', name: 'm1.tiny', vcpus: 1, ram: 512, disk: 1 },
  { id: '2', name: 'm1.small', vcpus: 1, ram: 2048, disk: 20 },
  { id: '3', name: 'm1.medium', vcpus: 2, ram: 4096, disk: 40 },
  { id: '4', name: 'm1.large', vcpus: 4, ram: 8192, disk: 80 },
];

const IMAGE_ID = 'c1440000-0000-4000-8000-000000000001';

export function flavorOf(id: string): Flavor | undefined {
  return FLAVORS.find((flavor) => flavor.id === id);
}

export function isImage(id: string): boolean {
  return id === IMAGE_ID;
}

function flavorView(flavor: Flavor, base: string): object {
  return {
    ...flavor,
    swap: '',
    rxtx_factor: 1,
    description: null,
    links: [{ rel: 'self', href: `${base}/compute/v2.1/flavors/${flavor.id}` }],
    'OS-FLV-EXT-DATA:ephemeral': 0,
    'os-flavor-access:is_public': true,
    'OS-FLV-DISABLED:disabled': false,
    extra_specs: {},
  };
}

export function registerFlavors(app: FastifyInstance): void {
  app.get('/flavors', (request) => {
    callerOf(request);
    return { flavors: FLAVORS.map((flavor) => flavorView(flavor, baseUrl(request))) };
  });
  app.get('/flavors/detail', (request) => {
    callerOf(request);
    return { flavors: FLAVORS.map((flavor) => flavorView(flavor, baseUrl(request))) };
  });
  app.get('/flavors/:id', (request) => {
    callerOf(request);
    const flavor = flavorOf(parameter(request, 'id'));
    if (flavor === undefined) throw new ApiError('itemNotFound', 'Flavor could not be found.');
    return { flavor: flavorView(flavor, baseUrl(request)) };
  });
  app.get('/flavors/:id/os-extra_specs', (request) => {
    callerOf(request);
    return { extra_specs: {} };
  });
}

const IMAGE = {
  id: IMAGE_ID,
  name: 'none',
  status: 'active',
  visibility: 'public',
  size: 0,
  min_disk: 0,
  min_ram: 0,
  disk_format: 'raw',
  container_format: 'bare',
  owner: '',
  tags: [],
  protected: true,
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
  file: `/v2/images/${IMAGE_ID}/file`,
  self: `/v2/images/${IMAGE_ID}`,
  schema: '/v2/schemas/image',
};

/** Any name is the name of the one image: servers are records here, and their images are not kept. */
export function registerImages(app: FastifyInstance): void {
  app.get('/v2/images', (request) => {
    callerOf(request);
    const name = parametersOf(request).get('name');
    return {
      images: [name === null ? IMAGE : { ...IMAGE, name }],
      schema: '/v2/schemas/images',
      first: '/v2/images',
    };
  });
  app.get('/v2/images/:id', (request) => {
    callerOf(request);
    if (!isImage(parameter(request, 'id'))) throw new ApiError('NotFound', 'No such image.');
    return IMAGE;
  });
}
