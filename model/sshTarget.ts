/** Where in the stack file each value of a target stands: "pgha:ssh.user", or "pgha:hosts.pg1.user" where that host has its own. */
export interface TargetFields {
  /** Field of the address. */
  readonly address: string;
  /** Field of the user. */
  readonly user: string;
  /** Field of the host key. */
  readonly hostKey: string;
  /** Field of the private key's path. */
  readonly privateKeyFile: string;
}

/** How to reach one host by SSH. Parsed from `pgha:hosts` and `pgha:ssh`. */
export interface SshTarget {
  /** The host's name in the stack file; every error names it. */
  readonly name: string;
  /** Name or IP address of its sshd. */
  readonly address: string;
  /** TCP port of sshd. */
  readonly port: number;
  /** The user who logs in; another one than root needs `sudo -n`. */
  readonly user: string;
  /** One public key in authorized_keys form ("ssh-ed25519 AAAA…"). Checked on every connection. */
  readonly hostKey: string;
  /** Path of a private key on this machine; without it the agent at SSH_AUTH_SOCK (or `agentSocket`) signs. */
  readonly privateKeyFile?: string;
  /** The Unix socket of the agent that signs. Default: SSH_AUTH_SOCK. */
  readonly agentSocket?: string;
  /** What an error about one of these values tells to correct. Default: the error names none. */
  readonly fields?: TargetFields;
  /** One hop in front of the host. */
  readonly jump?: Omit<SshTarget, "jump">;
}

/** The default limit for opening a connection: TCP, host key and login together. */
export const connectLimitSeconds = 8;
