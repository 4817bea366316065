"""Network: from an empty network namespace to containers that find each other by name.

=================  =================================================================
``addresses``      subnets and addresses as numbers; a free subnet (pure)
``host``           what the machine uses already: routes, addresses, name servers
``store``          networks and who is attached to them, on disk
``ipam``           addresses handed out, each to one owner
``links``          bridges and veth pairs as ``ip -batch`` text (pure)
``firewall``       the one nftables table as ``nft -f`` text (pure), and whether it is there
``forwarding``     the kernel's ip_forward: on while it is needed, and as it was afterwards
``bridges``        a network brought up on the machine, healed, and taken down
``ports``          published ports: how they are written, and how they are kept
``etc``            /etc/hosts, /etc/hostname and /etc/resolv.conf of a container
``names``          questions and answers of DNS, as bytes (pure)
``dns``            the engine's DNS server
``networks``       create, inspect, remove, connect, disconnect, prune
``part``           a container's networks as a part, in its four moments
``drawing``        a picture of it all, for the terminal, as SVG, as Mermaid
``ladder``         eight rungs from an empty namespace to a network, each by hand
``options``        the options of ``run``; ``commands``: ``network``, ``port``, ``ladder``
=================  =================================================================
"""
