"""Runs those of tempest's tests (its neutron plugin's too) that are about an API of security groups and what it stands on.

  run-tempest.py [--list] [--only REGEX] [--part I/N]      TEMPEST_CONFIG names the configuration; --part: every N-th class

One line of JSON for each test as it begins and as it ends, {"test", "state": started | passed | failed | skipped, "why"}. What is selected is decided by the rules
below and nothing else: a selected test that skips itself is reported so, and whoever counts does not count it as passed.
"""
import argparse
import importlib
import json
import os
import re
import sys
import traceback
import types
import unittest

# The interfaces that are ours: groups, rules, address groups, ports and their bindings to groups, who shares what, quotas; and, as far as
# ports stand on them, networks, subnets, and what every object has (tags, timestamps, revisions, descriptions).
MODULES = (
    'tempest.api.network.admin.test_negative_quotas',
    'tempest.api.network.admin.test_ports',
    'tempest.api.network.admin.test_quotas',
    'tempest.api.network.test_allowed_address_pair',
    'tempest.api.network.test_extensions',
    'tempest.api.network.test_networks',
    'tempest.api.network.test_networks_negative',
    'tempest.api.network.test_ports',
    'tempest.api.network.test_security_groups',
    'tempest.api.network.test_security_groups_negative',
    'tempest.api.network.test_versions',
    'neutron_tempest_plugin.api.admin.test_extension_driver_port_security_admin',
    'neutron_tempest_plugin.api.admin.test_ports',
    'neutron_tempest_plugin.api.admin.test_quotas',
    'neutron_tempest_plugin.api.admin.test_quotas_negative',
    'neutron_tempest_plugin.api.admin.test_security_groups',
    'neutron_tempest_plugin.api.admin.test_tag',
    'neutron_tempest_plugin.api.test_address_groups',
    'neutron_tempest_plugin.api.test_extension_driver_port_security',
    'neutron_tempest_plugin.api.test_extensions',
    'neutron_tempest_plugin.api.test_networks',
    'neutron_tempest_plugin.api.test_networks_negative',
    'neutron_tempest_plugin.api.test_ports',
    'neutron_tempest_plugin.api.test_ports_negative',
    'neutron_tempest_plugin.api.test_revisions',
    'neutron_tempest_plugin.api.test_security_groups',
    'neutron_tempest_plugin.api.test_security_groups_negative',
    'neutron_tempest_plugin.api.test_subnets',
    'neutron_tempest_plugin.api.test_timestamp',
)

# What these modules have beside that: a pattern of the test's name, and why it is left out.
LEFT_OUT = (
    (r'router|floating_?ip|external_network', 'routers, their external networks and floating IPs are not ours'),
    (r'qos|resource_?request', 'QoS is not ours'),
    (r'trunk', 'trunks are not ours'),
    (r'subnet_?pool', 'pools of subnets are not ours'),
    (r'segment', 'segments are not ours'),
    (r'service_?type', 'service types of subnets are not ours'),
    (r'dns_(domain|name(?!server))', 'DNS is not ours'),
    (r'PortsTaggingOnCreation', 'the extension tag-ports-during-bulk-creation is not offered'),
    (r'test_(create|list|update)_ports?_binding_ext_attr', 'wants an L2 agent of Neutron on the machine of the tests'),
    (r'NetworksIpV6TestAttrs', 'wants routers that advertise'),
)


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


def name_of(test):
    """Without the attributes ([id-..., smoke]) in what tempest calls an id."""
    return re.sub(r'\[.*?\]', '', test if isinstance(test, str) else test.id())


def class_of(test):
    return name_of(test).rsplit('.', 1)[0]


def selected(only):
    import testscenarios
    found, absent = {}, []
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            absent.append((name, str(error)))
            continue
        for test in testscenarios.generate_scenarios(tests_of(unittest.TestLoader().loadTestsFromModule(module))):
            if any(re.search(pattern, test.id(), re.IGNORECASE) for pattern, _ in LEFT_OUT):
                continue
            # Modules import each other's classes: each test once.
            if re.search(only, name_of(test)):
                found.setdefault(name_of(test), test)
    return [found[name] for name in sorted(found)], absent


class Report(unittest.TestResult):
    """Says how each test ended. A class that cannot be set up is the end of each of its tests."""

    def __init__(self, tests):
        super().__init__()
        self.names = [name_of(test) for test in tests]
        self.told = set()

    def tell(self, test, state, why=''):
        fixture = re.match(r'(setUp|tearDown)(Class|Module) \((.*)\)', test.id())
        if fixture is None:
            names = [name_of(test)]
        elif fixture[1] == 'setUp':
            names = [name for name in self.names if name.startswith(fixture[3] + '.')]
        else:
            names = [f'{fixture[3]}.tearDown{fixture[2]}']
        for name in names:
            if (name, state) not in self.told:
                self.told.add((name, state))
                say(name, state, why)

    def startTest(self, test):
        super().startTest(test)
        say(name_of(test), 'started')

    def addSuccess(self, test):
        self.tell(test, 'passed')

    addExpectedFailure = lambda self, test, err=None, details=None: self.tell(test, 'passed')

    def addUnexpectedSuccess(self, test, details=None):
        self.tell(test, 'failed', 'it was expected to fail')

    def addSkip(self, test, reason=None, details=None):
        self.tell(test, 'skipped', str(reason or ' '.join(one.as_text() for one in (details or {}).values())))

    def addFailure(self, test, err=None, details=None):
        if err is not None and issubclass(err[0], unittest.SkipTest):
            return self.addSkip(test, str(err[1]))
        why = ''.join(traceback.format_exception(*err)) if err is not None else '\n'.join(
            one.as_text() for name, one in (details or {}).items() if 'traceback' in name)
        self.tell(test, 'failed', why)

    addError = addFailure


def say(name, state, why=''):
    print(json.dumps({'test': name, 'state': state, 'why': why}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--only', default='')
    parser.add_argument('--part', default='0/1')
    options = parser.parse_args()
    from tempest import config
    from tempest.test_discover import plugins
    plugins.TempestTestPluginManager().register_plugin_opts(config.CONF)
    # This release sleeps for ten seconds before it deletes a subnet, for agents of Neutron that are not there.
    from tempest.lib.services.network import subnets_client
    subnets_client.time = types.SimpleNamespace(sleep=lambda _seconds: None)

    tests, absent = selected(options.only)
    part, parts = map(int, options.part.split('/'))
    mine = set(sorted({class_of(test) for test in tests})[part::parts])
    tests = [test for test in tests if class_of(test) in mine]
    if options.list:
        print('\n'.join(name_of(test) for test in tests))
        return
    for name, why in absent if part == 0 else ():
        say(name, 'failed', f'it cannot be imported: {why}')
    report = Report(tests)
    by_class = {}
    for test in tests:
        by_class.setdefault(class_of(test), []).append(test)
    for of_class in by_class.values():
        # A suite sets a class up and takes it down once.
        unittest.TestSuite(of_class).run(report)


main()
sys.stdout.flush()
# Clients that tempest made keep threads: they are not waited for.
os._exit(0)
