"""Says to a Neutron, over its bus, that hosts have agents, as agents do: ports are bound there, and versioned objects are pushed.

  neutron-agents.py TRANSPORT_URL HOST...     ends when Neutron has answered
"""
import sys

import eventlet
eventlet.monkey_patch()

from neutron.agent import rpc as agent_rpc  # noqa: E402
from neutron.api.rpc.callbacks import resources  # noqa: E402
from neutron.common import config  # noqa: E402
from neutron.conf.agent import common as agent_config  # noqa: E402
from neutron_lib import context  # noqa: E402
from neutron_lib import rpc  # noqa: E402
from neutron_lib.agent import topics  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_messaging import conffixture, set_transport_defaults  # noqa: E402


def main():
    url, hosts = sys.argv[1], sys.argv[2:]
    config.register_common_config_options()
    agent_config.register_agent_state_opts_helper(cfg.CONF)
    set_transport_defaults('neutron')
    cfg.CONF([], project='neutron', default_config_files=[])
    conffixture.ConfFixture(cfg.CONF).transport_url = url
    rpc.init(cfg.CONF)
    versions = {kind.obj_name(): kind.VERSION for kind in resources._TYPE_TO_CLS_MAP.values()}
    reports = agent_rpc.PluginReportStateAPI(topics.REPORTS)
    for host in hosts:
        state = {
            'agent_type': 'Open vSwitch agent', 'binary': 'neutron-openvswitch-agent', 'host': host, 'topic': 'N/A',
            'start_flag': True, 'resource_versions': versions,
            'configurations': {'bridge_mappings': {}, 'tunnel_types': ['vxlan'], 'tunneling_ip': '127.0.0.1', 'datapath_type': 'system'},
        }
        reports.report_state(context.get_admin_context_without_session(), state, use_call=True)


main()
