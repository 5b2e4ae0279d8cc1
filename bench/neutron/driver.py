"""Neutron's own firewall driver for Linux bridges, on the topology of a benchmark, in the network namespace that it is started in.

  driver.py TOPOLOGY

TOPOLOGY is a JSON document as `portcullis -t` takes it, of one host. Reads an operation a line, and answers each with a line of JSON,
{"what": ..., "seconds": ...}:
  load    everything but the last port, where there is nothing, as an agent that starts does it
  port    one port more: the last one, which is taken out first where it is there
  rule    one rule more in the group that all ports have: all of them are refreshed
  member  one address more in a group that the rules of all ports name: all of them are refreshed

It is Debian's python3-neutron. The driver runs as root in this process, without rootwrap and privsep's daemon, and without the RPC layer
above it: in production each of them costs beside. What it is told has the form of security_group_info_for_devices
(neutron/db/securitygroups_rpc_base.py), and is told as neutron/agent/securitygroups_rpc.py does.
"""
import json
import os
import shutil
import sys
import tempfile
import time

FOLDER = tempfile.mkdtemp(prefix="portcullis-bench-neutron-")
TOPOLOGY = sys.argv[1]
# The prefix of its chains is made of the program's name.
sys.argv = ["neutron-linuxbridge-agent"]

import eventlet  # noqa: E402

eventlet.monkey_patch()

from neutron import privileged  # noqa: E402
from neutron.agent.linux import iptables_firewall  # noqa: E402
from neutron.conf.agent import common  # noqa: E402
from neutron.conf.agent import securitygroups_rpc  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_privsep import priv_context  # noqa: E402

DHCP = {"IPv4": (67, 68, "255.255.255.255/32"), "IPv6": (547, 546, "fe80::/64")}


def driver():
    common.register_root_helper(cfg.CONF)
    common.register_iptables_opts(cfg.CONF)
    common.register_agent_state_opts_helper(cfg.CONF)
    securitygroups_rpc.register_securitygroups_opts()
    cfg.CONF([], project="neutron", default_config_files=[])
    cfg.CONF.set_override("root_helper", "", group="AGENT")
    cfg.CONF.set_override("lock_path", FOLDER, group="oslo_concurrency")
    for context in vars(privileged).values():
        if isinstance(context, priv_context.PrivContext):
            context.set_client_mode(False)
    return iptables_firewall.IptablesFirewallDriver()


def version(address):
    return "IPv6" if ":" in address else "IPv4"


def told_rule(rule):
    told = {"direction": rule["direction"], "ethertype": rule.get("ethertype", "IPv4"), "stateful": True}
    for name in ("protocol", "port_range_min", "port_range_max", "remote_group_id"):
        if rule.get(name) is not None:
            told[name] = rule[name]
    if rule.get("remote_ip_prefix"):
        end = "source" if rule["direction"] == "ingress" else "dest"
        told[end + "_ip_prefix"] = rule["remote_ip_prefix"]
    return told


class Cloud:
    """The document, and what an agent is told of it."""

    def __init__(self, document):
        self.groups = {group["id"]: list(group["security_group_rules"]) for group in document["security_groups"]}
        self.ports = list(document["ports"])
        self.more = {}

    def port(self, port):
        addresses = [fixed["ip_address"] for fixed in port["fixed_ips"]]
        named = {r["remote_group_id"] for g in port["security_groups"] for r in self.groups[g] if r.get("remote_group_id")}
        # 134: router advertisements.
        provider = [{"direction": "ingress", "ethertype": "IPv6", "protocol": "ipv6-icmp", "source_port_range_min": 134}]
        for ethertype, (source, target, everybody) in DHCP.items():
            own = [a + ("/32" if ethertype == "IPv4" else "/128") for a in addresses if version(a) == ethertype]
            provider += [
                {
                    "direction": "ingress",
                    "ethertype": ethertype,
                    "protocol": "udp",
                    "port_range_min": target,
                    "port_range_max": target,
                    "source_port_range_min": source,
                    "source_port_range_max": source,
                    "dest_ip_prefix": to,
                }
                for to in own + [everybody]
            ]
        return {
            "id": port["id"],
            "device": "tap" + port["id"][:11],
            "network_id": port["network_id"],
            "device_owner": "compute:nova",
            "mac_address": port["mac_address"],
            "fixed_ips": addresses,
            "allowed_address_pairs": [],
            "port_security_enabled": True,
            "security_groups": port["security_groups"],
            "security_group_source_groups": sorted(named),
            "security_group_remote_address_groups": [],
            "security_group_rules": provider,
        }

    def members(self, group):
        found = {"IPv4": [], "IPv6": []}
        for port in self.ports:
            if group in port["security_groups"]:
                for fixed in port["fixed_ips"]:
                    found[version(fixed["ip_address"])].append((fixed["ip_address"], port["mac_address"]))
        for address in self.more.get(group, []):
            found[version(address)].append((address, "fa:16:3e:ff:ff:ff"))
        return found

    def named(self, groups):
        return {r["remote_group_id"] for group in groups for r in self.groups[group] if r.get("remote_group_id")}


def tell(firewall, cloud, ports, is_new, updated=None):
    """@returns seconds that the driver needed; what it is told is made beforehand."""
    groups = {group for port in ports for group in port["security_groups"]}
    rules = {group: [told_rule(rule) for rule in cloud.groups[group]] for group in groups}
    members = {group: cloud.members(group) for group in cloud.named(groups)}
    told = [cloud.port(port) for port in ports]
    begin = time.monotonic()
    if updated is not None:
        firewall.security_group_updated(*updated)
    with firewall.defer_apply():
        for group, one in rules.items():
            firewall.update_security_group_rules(group, one)
        for group, one in members.items():
            firewall.update_security_group_members(group, one)
        for port in told:
            (firewall.prepare_port_filter if is_new else firewall.update_port_filter)(port)
    return time.monotonic() - begin


def operate(firewall, cloud, what, last):
    if what == "load":
        return tell(firewall, cloud, cloud.ports, True)
    if what == "port":
        if last in cloud.ports:
            with firewall.defer_apply():
                firewall.remove_port_filter(cloud.port(last))
            cloud.ports.remove(last)
        cloud.ports.append(last)
        return tell(firewall, cloud, [last], True)
    common_group = last["security_groups"][-1]
    if what == "rule":
        number = 40000 + len(cloud.groups[common_group])
        rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": number, "port_range_max": number}
        cloud.groups[common_group].append(rule)
        return tell(firewall, cloud, cloud.ports, False, ("sg_rule", {common_group}))
    if what == "member":
        group = min(cloud.named([common_group]))
        more = cloud.more.setdefault(group, [])
        more.append("10.255.0.%d" % (len(more) + 1))
        return tell(firewall, cloud, cloud.ports, False, ("sg_member", {group}))
    raise SystemExit("driver.py: %s is none of load, port, rule, member" % what)


def main():
    with open(TOPOLOGY, encoding="utf8") as file:
        cloud = Cloud(json.load(file))
    last = cloud.ports.pop()
    firewall = driver()
    for line in sys.stdin:
        what = line.strip()
        print(json.dumps({"what": what, "seconds": operate(firewall, cloud, what, last)}), flush=True)


try:
    main()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
