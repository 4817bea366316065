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
``endpoints``      where a container meets a network: plugged in, and out again
``ports``          published ports: how they are written, and how they are kept
``etc``            /etc/hosts, /etc/hostname and /etc/resolv.conf of a container
``names``          questions and answers of DNS, as bytes (pure)
``dns``            the engine's DNS server: started, told, ended; ``dns_server`` is its own side
``background``     work that outlives the command that began it
``networks``       create, inspect, remove, prune; ``membership``: connect, disconnect
``leftovers``      what killed runs left of their networks
``part``           a container's networks as a part, in its four moments
``shared``         the network of another container
``drawing``        a picture of it all, for the terminal, as SVG, as Mermaid
``ladder``         eight rungs from an empty namespace to a network, each by hand; ``climbing``
                   does them, ``small_dns`` is the server of names on the sixth
``options``        the options of ``run``; ``commands``: ``network``, ``port``, ``ladder``;
                   ``finding``: a running container by its name
=================  =================================================================
"""
